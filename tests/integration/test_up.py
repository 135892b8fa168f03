"""`lykta up` as its user meets it: start, stop, start again, a camera of one's own, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from lykta_camera_sim.footage import synthetic_footage

from tests.integration.harness import LYKTA, Platform, end, eventually, lykta, running_platform, start

STOP_SECONDS = 10.0
PASSWORD = "hemligt-losenord-7"


@pytest.fixture
def state_of(tmp_path: Path) -> Path:
    """The state directory that the harness uses."""
    return tmp_path / "state"


def _gone(processes: list[psutil.Process]) -> bool:
    alive = [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    return not alive


def test_everything_ends_with_ctrl_c_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """One Ctrl-C ends every process; a second run there has its footage, decisions and log."""
    first = start(tmp_path)
    eventually(lambda: _segments(first), 60, "a stored segment")
    size = _log_size(first)
    children = psutil.Process(first.process.pid).children(recursive=True)
    assert len(children) >= 8
    assert end(first.process) == []
    assert first.process.returncode == 0
    assert _gone(children)
    assert not (first.state_dir / "run" / "platform.json").exists()
    assert lykta("status", state_dir=first.state_dir).returncode == 3
    with running_platform(tmp_path) as second:
        assert _segments(second) >= 1
        assert _log_size(second) >= size
        listed = second.cli("mandate", "list", "--as", "karin")
        assert len(re.findall(r"man_\w+", listed.stdout)) == 2, listed.stdout


def test_a_killed_supervisor_leaves_nothing_running(tmp_path: Path) -> None:
    """Even `kill -9` of the supervisor leaves no server, service or camera behind."""
    platform = start(tmp_path, "--no-demo-cameras")
    children = psutil.Process(platform.process.pid).children(recursive=True)
    platform.process.kill()
    platform.process.wait()
    eventually(lambda: _gone(children), 10, "the end of every child")


def test_a_second_signal_ends_everything_at_once(tmp_path: Path) -> None:
    """Who does not want to wait for the drain says so with a second Ctrl-C."""
    platform = start(tmp_path, "--no-demo-cameras")
    children = psutil.Process(platform.process.pid).children(recursive=True)
    with_pause = platform.child("ingest")
    with_pause.suspend()
    platform.process.send_signal(signal.SIGINT)
    eventually(lambda: "once more" in platform.output.read_text(), 10, "the word that it is stopping")
    platform.process.send_signal(signal.SIGINT)
    assert platform.process.wait(5) == 1
    eventually(lambda: _gone(children), 10, "the end of every child")


def test_two_platforms_in_one_directory_are_refused(tmp_path: Path, state_of: Path) -> None:
    """The second one says who has the directory and changes nothing."""
    with running_platform(tmp_path, "--no-demo-cameras", "--target", "access-control") as first:
        second = subprocess.run(
            [str(LYKTA), "up", "--state-dir", str(state_of)], capture_output=True, text=True, timeout=60, check=False
        )
        assert second.returncode == 1
        assert str(first.process.pid) in second.stderr
        assert set(first.file.grpc) == {"access-control"}


@pytest.fixture
def own_camera(tmp_path: Path) -> Iterator[str]:
    """A camera that is not the demo's, with a password, given as `lykta up` takes it."""
    footage = synthetic_footage(tmp_path / "footage", 320, 180, 10, seconds=2, kbit=300, gop=10, say=lambda line: None)
    command = [
        str(LYKTA.parent / "python"), "-m", "lykta_camera_sim", "--camera", f"hall={footage}", "--user", "op",
        "--password", PASSWORD,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as camera:
        assert camera.stdout is not None
        port = re.search(r'"port": (\d+)', camera.stdout.readline())
        assert port
        yield f"hall=rtsp://op:{PASSWORD}@127.0.0.1:{port[1]}/hall"
        camera.terminate()


def test_a_camera_of_ones_own_is_recorded_and_its_password_told_to_nobody(tmp_path: Path, own_camera: str) -> None:
    """It records under a mandate of the demo people; the password is in the secret file and nowhere else."""
    with running_platform(tmp_path, "--no-demo-cameras", "--camera", own_camera) as platform:
        eventually(lambda: _recording(platform, "hall"), 60, "recording of the camera")
        secret = platform.state_dir / "secrets" / "cameras.json"
        assert PASSWORD in secret.read_text()
        assert secret.stat().st_mode & 0o777 == 0o600
        told = [path for path in platform.state_dir.rglob("*") if path.is_file() and path != secret]
        assert [path for path in told if PASSWORD.encode() in path.read_bytes()] == []
        assert PASSWORD not in platform.output.read_text()
        children = psutil.Process(platform.process.pid).children(recursive=True)
        assert not any(PASSWORD in word for child in children for word in [*child.cmdline(), *child.environ().values()])
        assert "DEMO mandate" in platform.output.read_text()


def test_the_end_is_bounded_even_when_a_service_does_not_answer(tmp_path: Path) -> None:
    """A frozen service does not hold up the end of the others: it is killed after its time."""
    platform = start(tmp_path, "--no-demo-cameras")
    children = psutil.Process(platform.process.pid).children(recursive=True)
    platform.child("storage").suspend()
    began = time.monotonic()
    platform.process.send_signal(signal.SIGTERM)
    assert platform.process.wait(STOP_SECONDS + 10) == 0
    eventually(lambda: _gone(children), 10, "the end of every child")
    assert time.monotonic() - began < STOP_SECONDS + 10
    assert os.path.isdir(platform.state_dir)


def _segments(platform: Platform) -> int:
    return sum(int(camera["segments"]) for camera in platform.status()["cameras"]) or _listed(platform)


def _listed(platform: Platform) -> int:
    answer = platform.cli("footage", "list", "tradgardstorget-1", "--as", "anna", "--json")
    return answer.stdout.count('"segmentId"')


def _log_size(platform: Platform) -> int:
    return int(platform.cli("audit", "checkpoint").stdout.splitlines()[1])


def _recording(platform: Platform, camera: str) -> bool:
    found = [item for item in platform.status()["cameras"] if item["camera"] == camera]
    return bool(found and found[0]["state"] == "RECORDING" and found[0]["segments"])
