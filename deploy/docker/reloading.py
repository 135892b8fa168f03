#!/usr/bin/python3.11 -IS
"""Stands before the interpreter in development images: runs it with the sources of /tmp/live, anew at each change."""

import os
import signal
import subprocess
import sys
from pathlib import Path

LIVE = Path(os.environ.get("LYKTA_LIVE", "/tmp/live"))  # noqa: S108 - the pod's own scratch volume
INTERPRETER = os.environ.get("LYKTA_INTERPRETER", "/opt/lykta/bin/python3.11")
LOOK_S = 0.5


def state() -> int:
    """When the sources were last put there whole (nanoseconds); 0 before the first time."""
    try:
        return (LIVE / ".changed").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def main() -> int:
    """Run the program until it ends by itself or is told to; a change ends it in order and starts it again."""
    told: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: object) -> None:
        told.append(number)
        if child is not None:
            child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    environment = os.environ | {"PYTHONPATH": str(LIVE)}
    while True:
        seen = state()
        child = subprocess.Popen([INTERPRETER, *sys.argv[1:]], env=environment)  # noqa: S603 - what the pod was told to run
        while True:
            try:
                code = child.wait(LOOK_S)
            except subprocess.TimeoutExpired:
                if told or state() == seen:
                    continue
                sys.stderr.write("sources changed: starting again\n")
                child.terminate()
                child.wait()
                break
            return code
        if told:
            return 0


if __name__ == "__main__":
    sys.exit(main())
