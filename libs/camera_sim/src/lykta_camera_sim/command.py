"""The simulator as a program: serve files as cameras until told to stop."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lykta_camera_sim.control import FaultControl
from lykta_camera_sim.errors import CameraSimError
from lykta_camera_sim.faults import KINDS
from lykta_camera_sim.simulator import CameraSimulator
from lykta_camera_sim.spec import AUTH_SCHEMES, CameraSpec, SdpOptions

_EXAMPLES = """\
examples:
  python -m lykta_camera_sim --camera torg=street.mp4 --port 8554
  python -m lykta_camera_sim --camera a=street.mp4 --camera b=street.h264 --fps 10 --user op --password secret
  python -m lykta_camera_sim --camera cam=street.mp4 --copies 50 --capture-dir sent/

When it is ready it prints one line of JSON: {"port": …, "control_port": …, "cameras": {"torg": "rtsp://…"}}.
Faults are given through the control port (loopback only):
  curl -X POST -H 'Content-Type: application/json' -d '{"kind": "freeze", "seconds": 5}' \\
       http://127.0.0.1:CONTROL/cameras/torg/fault
kinds:
"""


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    kinds = "\n".join(f"  {kind:<11}{text}" for kind, text in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m lykta_camera_sim",
        description="Serves H.264 files as RTSP cameras in real time (TCP), endlessly, with faults on demand.",
        epilog=_EXAMPLES + kinds,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--camera",
        action="append",
        required=True,
        metavar="NAME=FILE",
        help="an .mp4 or .h264 file; repeatable",
    )
    add("--copies", type=int, default=1, metavar="N", help="serve each camera N times, as NAME-1 … NAME-N")
    add("--fps", type=float, help="frame rate of byte streams (.h264), which carry none")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="RTSP port, 0 for a free one (default: %(default)s)")
    add("--control-port", type=int, metavar="PORT", help="loopback HTTP port for faults, 0 for a free one")
    add("--user", help="user name that clients must give")
    add("--password", help="its password")
    add(
        "--auth", default="digest", help=f"one or more of {', '.join(AUTH_SCHEMES)}, joined by + (default: %(default)s)"
    )
    add("--audio", action="store_true", help="describe a sound track as well; nothing is ever sent on it")
    add("--free-running", action="store_true", help="start each camera at a random point of its loop")
    add("--clock-offset", type=float, default=0.0, metavar="S", help="seconds by which the cameras' own clock is wrong")
    add("--near-wrap", action="store_true", help="start sequence numbers and time stamps shortly before they wrap")
    add(
        "--capture-dir",
        type=Path,
        metavar="DIR",
        help="write NAME.jsonl there: what was sent, NAL by NAL",
    )
    add("--seed", type=int, help="makes random faults repeatable")
    return parser


def specs_from(options: argparse.Namespace) -> list[CameraSpec]:
    """Turns the options into cameras.

    Raises:
        CameraSimError: a camera is not given as NAME=FILE, or its name or credentials cannot be used.
    """
    specs = []
    for text in options.camera:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise CameraSimError(f"--camera {text!r}: give it as NAME=FILE")
        names = [name] if options.copies == 1 else [f"{name}-{number}" for number in range(1, options.copies + 1)]
        specs += [_spec(one, Path(path), options) for one in names]
    return specs


def _spec(name: str, path: Path, options: argparse.Namespace) -> CameraSpec:
    return CameraSpec(
        name,
        path,
        fps=options.fps,
        username=options.user,
        password=options.password,
        auth=options.auth,
        sdp=SdpOptions(audio=options.audio),
        free_running=options.free_running,
        clock_offset_s=options.clock_offset,
        first_sequence=65_500 if options.near_wrap else None,
        first_timestamp=2**32 - 270_000 if options.near_wrap else None,
    )


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.capture_dir:
        options.capture_dir.mkdir(parents=True, exist_ok=True)
    simulator = CameraSimulator(
        options.host, options.port, specs_from(options), capture_dir=options.capture_dir, seed=options.seed
    )
    async with simulator, FaultControl(simulator, options.control_port) as control:
        ready = {
            "port": simulator.port,
            "control_port": control.port,
            "cameras": {name: simulator.address(name) for name in simulator.names},
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT; returns 0, 1 when a file or port cannot be used, 2 on wrong usage."""
    options = build_parser().parse_args(arguments)
    try:
        asyncio.run(_serve(options))
    except (CameraSimError, OSError) as error:
        sys.stderr.write(f"camera simulator: {error}\n")
        return 1
    return 0
