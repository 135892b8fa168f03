"""An RTSP camera that replays a file in real time, with faults on demand."""

from lykta_camera_sim.capture import CaptureRecord
from lykta_camera_sim.control import FaultControl
from lykta_camera_sim.errors import CameraSimError, FaultError, FootageError, UnknownCameraError
from lykta_camera_sim.faults import Fault
from lykta_camera_sim.session import CameraStats
from lykta_camera_sim.simulator import CameraSimulator
from lykta_camera_sim.spec import CameraSpec, SdpOptions

__all__ = [
    "CameraSimError",
    "CameraSimulator",
    "CameraSpec",
    "CameraStats",
    "CaptureRecord",
    "Fault",
    "FaultControl",
    "FaultError",
    "FootageError",
    "SdpOptions",
    "UnknownCameraError",
]
