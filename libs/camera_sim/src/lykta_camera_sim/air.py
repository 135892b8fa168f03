"""One frame at the instant it is sent, as all clients of a camera get it."""

from dataclasses import dataclass, field

from lykta_camera_sim.faults import Fault
from lykta_camera_sim.rtp import FrameTemplate


@dataclass(slots=True)
class OnAir:
    """``number`` counts frames from the camera's start, ``ticks`` is the frame's time, ``now_ticks`` this instant's.

    ``now`` is the event loop's clock, ``unix_at`` the host's and ``camera_time`` the camera's own, all in seconds.
    """

    frame: FrameTemplate
    number: int
    ticks: int
    now: float
    now_ticks: int
    unix_at: float
    camera_time: float
    faults: list[Fault] = field(default_factory=list)
