"""Signed values from KV buckets, kept on disk so that the recorder can start without NATS."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lykta_common.errors import invalid


class HeldCopies:
    """Envelopes by key in one file, replaced atomically; a file that cannot be read stops the service with advice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.values: dict[str, str] = {}

    @classmethod
    def load(cls, path: Path) -> HeldCopies:
        """Read the file; a missing one is empty. Raises PlatformError INVALID_FIELD when it is broken."""
        held = cls(path)
        try:
            values = json.loads(path.read_bytes())
        except FileNotFoundError:
            return held
        except (OSError, ValueError) as error:
            raise invalid(f"cannot read the held copies in {path}; remove the file to fetch them anew") from error
        if not isinstance(values, dict):
            raise invalid(f"the held copies in {path} are not an object; remove the file to fetch them anew")
        held.values = {str(key): str(value) for key, value in values.items()}
        return held

    def save(self) -> None:
        """Write all values durably (fsync, rename, fsync of the directory); blocks, raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump(self.values, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
