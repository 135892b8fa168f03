"""Ties a child to its parent, then becomes the child: `python -I -S leash.py PARENT_PID COMMAND…`.

Run as a script of its own, because asking the kernel between fork and exec from a process with threads is not safe.
Linux sends the child SIGKILL when its parent dies (prctl(2), PR_SET_PDEATHSIG), so that nothing outlives a
`kill -9` of the supervisor. On other systems it only becomes the child.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Tie and exec; returns 127 when the command cannot be run, 0 when the parent is gone already."""
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            return 0
    try:
        os.execvp(command[0], command)  # noqa: S606 - that is what it is for
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
