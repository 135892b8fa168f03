"""Makes `.venv` from the lock files: `python3 tools/bootstrap.py run` or `… dev`; at once when nothing changed.

Needs only the standard library, because it runs before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
BOOTSTRAP = ROOT / "tools" / "requirements-bootstrap.txt"
LOCKS = {"run": ["requirements.lock"], "dev": ["requirements.lock", "requirements-dev.lock"]}
STEP_TIMEOUT_S = 1200


def members() -> list[Path]:
    """Every member of the workspace, as its folder."""
    return sorted(path.parent for folder in ("libs", "services") for path in (ROOT / folder).glob("*/pyproject.toml"))


def fingerprint(kind: str) -> str:
    """The SHA-256 of everything that decides what `.venv` holds for `kind`."""
    digest = hashlib.sha256(f"{sys.version_info[:2]}{ROOT}".encode())
    for path in [
        BOOTSTRAP,
        *(ROOT / name for name in LOCKS[kind]),
        *(folder / "pyproject.toml" for folder in members()),
    ]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamp(kind: str) -> Path:
    """The file that remembers the fingerprint of the last finished install of `kind`."""
    return VENV / f".installed-{kind}"


def is_current(kind: str) -> bool:
    """Whether `.venv` already holds what the lock files say, for `kind` or for more than it."""
    kinds = ("run", "dev") if kind == "run" else ("dev",)
    return PYTHON.exists() and any(stamp(k).exists() and stamp(k).read_text() == fingerprint(k) for k in kinds)


def step(what: str, *command: str) -> None:
    """Run one command and say what it does and how long it took; ends the program when it fails."""
    print(f"[install] {what} …", flush=True)
    started = time.monotonic()
    result = subprocess.run(command, cwd=ROOT, timeout=STEP_TIMEOUT_S, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode:
        print(result.stdout.decode(errors="replace")[-6000:])
        raise SystemExit(
            f"[install] failed: {what}. The output above says why; mend it and run the same command again."
        )
    print(f"[install] {what}: done in {time.monotonic() - started:.0f} s", flush=True)


def ensure_venv_module() -> None:
    """Bring Debian's python3-venv where the interpreter has no ensurepip; say what to install where we may not."""
    probe = subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True)
    if probe.returncode == 0:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        os.environ.setdefault("DEBIAN_FRONTEND", "noninteractive")
        step("apt-get update", "apt-get", "update", "-q")
        step("python3-venv from Debian", "apt-get", "install", "-y", "-q", "--no-install-recommends", "python3-venv")
        return
    raise SystemExit(
        "[install] Python's venv module is missing. Install it (Debian: sudo apt-get install python3-venv)."
    )


def install(kind: str) -> None:
    """Install everything `kind` needs; safe to repeat, and an interrupted run is simply repeated."""
    stamp(kind).unlink(missing_ok=True)
    if not PYTHON.exists():
        ensure_venv_module()
        step("virtual environment .venv", sys.executable, "-m", "venv", str(VENV))
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    step(
        "uv and build tools (pinned, hashed)", *pip, "--require-hashes", "--only-binary", ":all:", "-r", str(BOOTSTRAP)
    )
    uv = [str(VENV / "bin" / "uv"), "pip", "install", "--python", str(PYTHON), "--no-deps", "--no-build-isolation"]
    locks = [argument for name in LOCKS[kind] for argument in ("-r", name)]
    pins = sum(line[:1].isalnum() for name in LOCKS[kind] for line in (ROOT / name).read_text().splitlines())
    step(f"{pins} pinned packages ({' and '.join(LOCKS[kind])})", *uv, "--require-hashes", *locks)
    editable = [argument for folder in members() for argument in ("-e", str(folder))]
    step(f"{len(members())} members of this workspace", *uv, "--reinstall", *editable)
    stamp(kind).write_text(fingerprint(kind))


def main() -> None:
    """Bring `.venv` up to date for the kind named on the command line."""
    if sys.version_info < (3, 11):  # noqa: UP036 (this file is the one that older interpreters read)
        raise SystemExit(
            f"Lykta needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try: make PYTHON=python3.11 …"
        )
    kind = sys.argv[1] if len(sys.argv) > 1 else "run"
    if kind not in LOCKS:
        raise SystemExit(f"usage: bootstrap.py {{{'|'.join(LOCKS)}}}")
    if is_current(kind):
        return
    VENV.mkdir(exist_ok=True)
    with (VENV / ".install-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_current(kind):
            install(kind)


if __name__ == "__main__":
    main()
