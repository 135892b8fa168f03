"""Programs that are not ours: found by name, or the test is skipped with the name of the package that has them."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DEBIAN_PYTHON = Path("/usr/bin/python3")
CAMERA_SCRIPT = Path(__file__).parent / "foreign" / "gst_camera.py"
SECONDS = 60


def program(name: str, package: str) -> str:
    """Return the path of a program; skips the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: apt-get install {package}")
    return found


def run(
    command: Sequence[str | Path], given: bytes | None = None, seconds: float = SECONDS
) -> subprocess.CompletedProcess[bytes]:
    """Run a stranger's program to its end; its exit code is in the result."""
    return subprocess.run(list(map(str, command)), input=given, capture_output=True, timeout=seconds, check=False)


def probed(file: Path) -> dict[str, Any]:
    """Return what ffprobe says of streams and packets; AssertionError when it fails or warns."""
    ffprobe = program("ffprobe", "ffmpeg")
    done = run([ffprobe, "-v", "warning", "-print_format", "json", "-show_streams", "-show_packets", file])
    assert (done.returncode, done.stderr.decode()) == (0, ""), f"ffprobe {file.name}: {done.stderr.decode()}"
    return dict(json.loads(done.stdout))


def decoded(file: Path) -> int:
    """Return how many pictures ffmpeg decodes; AssertionError when it fails or warns."""
    ffmpeg = program("ffmpeg", "ffmpeg")
    command = [ffmpeg, "-v", "warning", "-nostdin", "-i", file, "-map", "0", "-f", "framehash", "-"]
    done = run(command)
    assert (done.returncode, done.stderr.decode()) == (0, ""), f"ffmpeg {file.name}: {done.stderr.decode()}"
    return sum(1 for line in done.stdout.decode().splitlines() if line and not line.startswith("#"))


@dataclass(frozen=True)
class ForeignCamera:
    """A GStreamer RTSP server: address without credentials, and the credentials."""

    port: int
    username: str
    password: str

    @property
    def address(self) -> str:
        """Its address without credentials."""
        return f"rtsp://127.0.0.1:{self.port}/torg"

    @property
    def url(self) -> str:
        """Its address with credentials, as `lykta up --camera` takes it."""
        return f"rtsp://{self.username}:{self.password}@127.0.0.1:{self.port}/torg"


def missing_gstreamer() -> str:
    """Say what to install for the foreign camera; empty when all is there."""
    packages = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
    if DEBIAN_PYTHON.exists():
        looked = run([DEBIAN_PYTHON, "-W", "ignore", CAMERA_SCRIPT, "--check"])
        if looked.returncode == 0:
            return ""
    return f"GStreamer's RTSP server or its plugins are missing: apt-get install {packages}"


@contextmanager
def gstreamer_camera(film: Path) -> Iterator[ForeignCamera]:
    """Serve a film as an RTSP camera with Digest authentication for the block."""
    password = secrets.token_hex(8)
    camera = subprocess.Popen(
        [str(DEBIAN_PYTHON), "-W", "ignore", str(CAMERA_SCRIPT), str(film)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, start_new_session=True,
    )  # fmt: skip
    try:
        assert camera.stdin is not None
        assert camera.stdout is not None
        camera.stdin.write(f"lykta {password}\n".encode())
        camera.stdin.flush()
        yield ForeignCamera(int(camera.stdout.readline()), "lykta", password)
    finally:
        camera.kill()
        camera.communicate()


def tessera_fsck() -> str:
    """Return the path of Tessera's fsck, built by the tests of the log; skips where it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    found = sorted((cache / "lykta" / "tools").glob("fsck-*/fsck"))
    if not found:
        pytest.skip("Tessera's fsck is missing: pytest services/audit/tests/test_foreign.py builds it with Go")
    return str(found[-1])
