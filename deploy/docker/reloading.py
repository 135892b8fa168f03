#!/usr/bin/python3.11 -IS
"""Stands before the interpreter in development images: runs it with the sources of /tmp/live, anew at each change."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

LIVE = Path(os.environ.get("LYKTA_LIVE", "/tmp/live"))  # noqa: S108 - the pod's own scratch volume
INTERPRETER = os.environ.get("LYKTA_INTERPRETER", "/opt/lykta/bin/python3.11")
LOOK_S = 0.5


def lay_out() -> None:
    """Put our installed sources there once, because only files that change are synced and a package must be whole.

    What was synced before stays. Without compiled files: the image's are taken unchecked, and would hide every change.
    """
    if (LIVE / ".whole").exists():
        return
    for installed in Path(INTERPRETER).parent.parent.glob("lib/python3*/site-packages/lykta*/"):
        hidden = shutil.ignore_patterns("__pycache__")
        shutil.copytree(installed, LIVE / installed.name, ignore=hidden, copy_function=add, dirs_exist_ok=True)
    (LIVE / ".whole").touch()


def add(source: str, target: str) -> None:
    """Copy a file where there is none."""
    if not os.path.exists(target):
        shutil.copy2(source, target)


def state() -> int:
    """When a sync was last complete (nanoseconds); 0 before the first one."""
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
    lay_out()
    while True:
        seen = state()
        environment = os.environ | ({"PYTHONPATH": str(LIVE)} if seen else {})
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
