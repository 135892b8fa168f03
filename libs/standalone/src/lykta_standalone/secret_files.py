"""Files that their owner alone may read."""

import secrets
from pathlib import Path


def secret_text(path: Path) -> str:
    """Return the secret in a file, made when it is missing (mode 0600)."""
    if not path.exists():
        write_secret(path, secrets.token_urlsafe(24) + "\n")
    return path.read_text().strip()


def write_secret(path: Path, text: str) -> None:
    """Write a file that its owner alone may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
