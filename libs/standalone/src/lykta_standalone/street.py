"""The demo cameras as a process of their own: `python -m lykta_standalone.street FILE` serves what the file says.

Credentials come in the file (mode 0600), never in the arguments, which every user of a machine can see.
"""

import asyncio
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lykta_camera_sim import CameraSimError, CameraSimulator, CameraSpec, FaultControl
from lykta_camera_sim.footage import street_footage

from lykta_standalone.secret_files import write_secret


@dataclass(frozen=True)
class StreetCamera:
    """One demo camera: its name in the URL, where in the film it starts (seconds), and its credentials."""

    name: str
    offset_s: float
    username: str
    password: str


@dataclass(frozen=True)
class Street:
    """All demo cameras on one RTSP port; `capture_dir` empty records nothing of what was sent."""

    footage: Path
    port: int
    control_port: int
    cameras: tuple[StreetCamera, ...]
    capture_dir: str = ""


def write_street(path: Path, street: Street) -> None:
    """Write the file the process reads."""
    content: dict[str, Any] = {
        "footage": str(street.footage),
        "port": street.port,
        "control_port": street.control_port,
        "capture_dir": street.capture_dir,
        "cameras": [vars(camera) for camera in street.cameras],
    }
    write_secret(path, json.dumps(content, indent=1) + "\n")


def read_street(path: Path) -> Street:
    """Read the file; raises OSError, ValueError, KeyError or TypeError when it is none."""
    content = json.loads(path.read_text())
    cameras = tuple(StreetCamera(**camera) for camera in content.pop("cameras"))
    return Street(Path(content.pop("footage")), cameras=cameras, **content)


async def serve(street: Street) -> None:
    """Serve the cameras until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    specs = [
        CameraSpec(
            camera.name, street.footage, username=camera.username, password=camera.password, offset_s=camera.offset_s
        )
        for camera in street.cameras
    ]
    capture_dir = Path(street.capture_dir) if street.capture_dir else None
    if capture_dir:
        capture_dir.mkdir(parents=True, exist_ok=True)
    simulator = CameraSimulator("127.0.0.1", street.port, specs, capture_dir=capture_dir)
    async with simulator, FaultControl(simulator, street.control_port):
        await stop.wait()


def main(arguments: list[str]) -> int:
    """Run; returns 1 with the reason when a file or port cannot be used, 2 on wrong usage."""
    try:
        if len(arguments) == 2 and arguments[0] == "--prepare":
            sys.stdout.write(f"{street_footage(Path(arguments[1]))}\n")
            return 0
        if len(arguments) != 1:
            sys.stderr.write("usage: python -m lykta_standalone.street FILE | --prepare DIRECTORY\n")
            return 2
        asyncio.run(serve(read_street(Path(arguments[0]))))
    except (CameraSimError, OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"demo cameras: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
