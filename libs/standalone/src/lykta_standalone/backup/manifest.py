"""The manifest of a backup: written last and in one step, it says what belongs to the backup, with sizes and hashes."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

from lykta_common.errors import Code, PlatformError, invalid
from lykta_contracts.instants import Instant
from lykta_contracts.model import Message
from pydantic import ValidationError

FORMAT: Final = "lykta-backup/1"
MANIFEST: Final = "manifest.json"
MARK: Final = "lykta-backup.lock"
FOOTAGE: Final = "footage"
LOG: Final = "log"
_CHUNK: Final = 1 << 20


class Stored(Message):
    """One file of the backup; `retain_until` is the object lock of an object of the audit bucket."""

    size_bytes: int
    sha256: str
    retain_until: Instant | None = None


class Manifest(Message):
    """What a backup consists of.

    `files` lie in the folder `generation`, the objects of the two buckets in `footage` and `log`. `log_before` is the
    size of the log before the first database was copied: what was logged after that, the databases may not know.
    """

    format: str
    release: str
    created_at: Instant
    mirrored_at: Instant
    generation: str
    revisions: dict[str, str]
    verifier_key: str
    log_before: int
    log_size: int
    files: dict[str, Stored]
    footage: dict[str, Stored]
    log: dict[str, Stored]

    def everything(self) -> dict[str, Stored]:
        """Return every file by its path below the backup's directory."""
        parts = ((self.generation, self.files), (FOOTAGE, self.footage), (LOG, self.log))
        return {f"{folder}/{path}": stored for folder, part in parts for path, stored in part.items()}


def release() -> str:
    """Return the release of this code."""
    return version("lykta-standalone")


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Put the manifest in its place durably: from here on the backup is this one, until here the one before."""
    write_durably(directory / MANIFEST, manifest.model_dump_json(indent=1).encode() + b"\n")


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest; raises PlatformError that names it when it is missing, broken or of something else."""
    path = directory / MANIFEST
    try:
        manifest = Manifest.from_json(path.read_bytes())
    except FileNotFoundError as error:
        message = f"{path} is missing: this is no backup, or one that was never finished"
        raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message) from error
    except (OSError, ValidationError) as error:
        raise invalid(f"{path} is not the manifest of a Lykta backup") from error
    if manifest.format != FORMAT:
        raise invalid(
            f"{path} is of the format {manifest.format!r}, this release reads {FORMAT}; use the newer release"
        )
    return manifest


def check_files(directory: Path, manifest: Manifest) -> int:
    """Compare every file with the manifest and return the sum of their bytes; raises DATA_LOSS that names the first."""
    total = 0
    for path, wanted in manifest.everything().items():
        file = below(directory, path)
        if not file.is_file():
            raise damaged(path, "is missing")
        found = fingerprint(file)
        if found.size_bytes != wanted.size_bytes:
            raise damaged(path, f"has {found.size_bytes} bytes, {wanted.size_bytes} were backed up")
        if found.sha256 != wanted.sha256:
            raise damaged(path, "does not have the SHA-256 it was backed up with")
        total += found.size_bytes
    return total


def fingerprint(file: Path) -> Stored:
    """Return size and SHA-256 of a file (blocking)."""
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return Stored(size_bytes=size, sha256=digest.hexdigest())


def below(directory: Path, path: str) -> Path:
    """Return a path below a directory; raises PlatformError for one that leads out of it."""
    found = (directory / path).resolve()
    if not found.is_relative_to(directory.resolve()):
        raise invalid(f"impossible name in a backup: {path!r}")
    return found


def write_durably(path: Path, payload: bytes) -> None:
    """Write a file, readable by its owner only, in one step that survives a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.half")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames in a directory durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Hold a backup's directory for the block; raises PlatformError when it holds something else, or is in use."""
    if directory.exists() and (
        not directory.is_dir() or (any(directory.iterdir()) and not (directory / MARK).exists())
    ):
        raise invalid(f"{directory} holds something that is no backup; name an empty or new directory")
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    with (directory / MARK).open("a") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"another backup is being written to {directory}; wait for it"
            raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message) from error
        yield


def damaged(path: str, why: str) -> PlatformError:
    """A file of a backup that is not what was backed up."""
    return PlatformError(Code.DATA_LOSS, "INTEGRITY", f"the backup is damaged: {path} {why}")
