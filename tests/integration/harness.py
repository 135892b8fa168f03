"""One whole platform as a child process: started with `lykta up`, found through `platform.json`, ended for good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
from lykta_contracts.platform_file import PlatformFile

LYKTA = Path(sys.executable).parent / "lykta"
SERVICES = ("access-control", "audit", "storage", "ingest", "analytics")
START_SECONDS = 120.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.1
LOG_LINES = 12
ValueT = TypeVar("ValueT")


def eventually(
    condition: Callable[[], ValueT], seconds: float = 30.0, what: str = "the condition", every: float = POLL_SECONDS
) -> ValueT:
    """Wait until a condition is true and return its value; AssertionError when it does not come in time."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not come true within {seconds:.0f} s; last: {value!r}")
        time.sleep(every)


def lykta(*arguments: str, state_dir: Path, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run one command of the `lykta` CLI against the platform in a state directory; its exit code is in the result."""
    command = [str(LYKTA), *arguments]
    environment = os.environ | {"LYKTA_STATE": str(state_dir)}
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, check=False)


class Platform:
    """A running platform; `processes` are its children by the names of the status file."""

    def __init__(self, process: subprocess.Popen[bytes], state_dir: Path, output: Path) -> None:
        self.process = process
        self.state_dir = state_dir
        self.output = output
        self.file = PlatformFile.from_json((state_dir / "run" / "platform.json").read_bytes())

    def status(self) -> dict[str, Any]:
        """Return what the supervisor says of its processes."""
        return dict(json.loads(Path(self.file.status_file).read_bytes()))

    def child(self, name: str) -> psutil.Process:
        """Return the running process of a name; raises LookupError while there is none.

        It is found by its command line, because the status file is up to a second old.
        """
        pattern = {"nats-server": "nats-server", "weed": "/weed", "cameras": "lykta_standalone.street"}.get(
            name, "lykta_" + name.replace("-", "_")
        )
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                words = child.cmdline()
                if any(word == pattern or word.endswith(pattern) for word in words):
                    return child
        raise LookupError(f"{name} does not run")

    def runs(self, name: str) -> bool:
        """Say whether a process of the name runs now."""
        with suppress(LookupError, psutil.Error):
            return self.child(name).is_running()
        return False

    def kill(self, name: str) -> float:
        """Kill one process as a power cut would and return the unix time; the supervisor starts it again."""
        child = self.child(name)
        at = time.time()
        child.kill()
        with suppress(psutil.TimeoutExpired):
            child.wait(5)
        return at

    def killed_and_back(self, name: str, seconds: float = 30.0) -> float:
        """Kill one process, wait until another of its name runs, and return the unix time of the kill."""
        before = self.child(name).pid
        at = self.kill(name)
        eventually(lambda: self.runs(name) and self.child(name).pid != before, seconds, f"a restart of {name}")
        return at

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Freeze one process for the block: its port accepts, nothing answers."""
        child = self.child(name)
        child.suspend()
        try:
            yield
        finally:
            with suppress(psutil.NoSuchProcess):
                child.resume()

    @contextmanager
    def held_down(self, name: str) -> Iterator[None]:
        """Keep one process down for the block: its port refuses.

        The supervisor starts a new one at once; that one is frozen before it listens, and goes on after the block.
        """
        before = self.child(name).pid
        self.kill(name)
        until = time.monotonic() + 20
        while not (self.runs(name) and (child := self.child(name)).pid != before):
            assert time.monotonic() < until, f"{name} was not started again"
            time.sleep(0.002)
        child.suspend()
        try:
            yield
        finally:
            with suppress(psutil.NoSuchProcess):
                child.resume()

    def fault(self, camera: str, kind: str, **values: Any) -> None:
        """Give a demo camera a fault (see the camera simulator)."""
        self._control("POST", f"/cameras/{camera}/fault", {"kind": kind, **values})

    def clear(self, camera: str) -> None:
        """End all faults of a demo camera."""
        self._control("DELETE", f"/cameras/{camera}/fault")

    def cli(self, *arguments: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command of the CLI against this platform."""
        return lykta(*arguments, state_dir=self.state_dir, seconds=seconds)

    def log_of(self, name: str) -> str:
        """Return the log file of one process."""
        return (Path(self.file.log_dir) / f"{name}.log").read_text(errors="replace")

    def tails(self) -> str:
        """Return the ends of all logs, for people who read a failure."""
        files = [self.output, *sorted(Path(self.file.log_dir).glob("*.log"))]
        return "\n".join(_tail(file) for file in files)

    def _control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            self.file.camera_control_url + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()


def start(directory: Path, *options: str) -> Platform:
    """Start `lykta up` in `directory/state` and wait for its `platform.json`; AssertionError with its output.

    A second start in the same directory goes on with what is there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state_dir, output = directory / "state", directory / "up.log"
    command = [str(LYKTA), "up", "--state-dir", str(state_dir), *options]
    announcement, begun = state_dir / "run" / "platform.json", time.time()
    with output.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def announced() -> bool:
        code = process.poll()
        assert code is None, f"lykta up ended with {code}:\n{_tail(output)}"
        # One from before a power cut may still lie there.
        return announcement.exists() and announcement.stat().st_mtime >= begun - 0.1

    try:
        eventually(announced, START_SECONDS, "platform.json")
    except BaseException:
        end(process)
        sys.stderr.write(_tail(output) + "\n")
        raise
    return Platform(process, state_dir, output)


def end(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """End `lykta up` as Ctrl-C does and return what of it was still there afterwards (killed then)."""
    started: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    left = psutil.wait_procs(started, timeout=2)[1]
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    return left


@contextmanager
def running_platform(directory: Path, *options: str) -> Iterator[Platform]:
    """Run a platform for the block; nothing of it is left afterwards."""
    platform = start(directory, *options)
    try:
        yield platform
    finally:
        left = end(platform.process)
        assert not left, f"still there after lykta up had ended: {left}"


def _tail(file: Path) -> str:
    with suppress(OSError):
        lines = file.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join((f"--- {file.name}", *(line[:400] for line in lines)))
    return f"--- {file.name}: none"
