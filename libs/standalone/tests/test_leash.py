"""Nothing outlives its supervisor, not even one that is killed."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from lykta_standalone.servers import LEASH, Server
from lykta_testing.platform import eventually

_PARENT = """
import asyncio, sys
from pathlib import Path
from lykta_standalone.servers import Server

async def main():
    server = Server("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], Path(sys.argv[1]), 1)
    await server.spawn()
    print(server.process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl(2): run it on Linux")
async def test_a_killed_parent_takes_its_child_along(tmp_path: Path) -> None:
    """When a parent is killed with SIGKILL, the child it started on a leash is gone at once."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = psutil.Process(int(await parent.stdout.readline()))
    assert child.is_running()
    parent.kill()
    await parent.communicate()
    await eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 5, "the child's end")


def test_a_leash_without_its_parent_starts_nothing(tmp_path: Path) -> None:
    """A leash that finds its parent gone already ends without running the command."""
    witness = tmp_path / "ran"
    command = [sys.executable, "-I", "-S", str(LEASH), "1", "touch", str(witness)]
    if os.getpid() == 1 or sys.platform != "linux":
        pytest.skip("needs Linux and a process that is not the first one: run it outside a bare container")
    done = subprocess.run(command, timeout=20, check=False)
    assert done.returncode == 0
    assert not witness.exists()


async def test_stopping_ends_the_whole_group(tmp_path: Path) -> None:
    """What a server started itself is ended with it, and a deaf one is killed after its time."""
    script = textwrap.dedent(
        """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open(sys.argv[1], "w").write(str(child.pid))
        time.sleep(600)
        """
    )
    note = tmp_path / "grandchild"
    server = Server("deaf", [sys.executable, "-c", script, str(note)], tmp_path, 1)
    await server.spawn()
    grandchild = psutil.Process(int(await eventually(lambda: note.exists() and note.read_text(), 10)))
    await server.stop(signal.SIGTERM, seconds=0.2)
    assert server.process is not None
    assert server.process.returncode == -signal.SIGKILL
    await eventually(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE, 5)
