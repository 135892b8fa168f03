"""The spool: one append-only journal for all cameras, whose files are given back oldest first (docs/design/wire.md).

A record is wanted until its key is done. So that one segment that is never confirmed cannot fill the spool, what is
left in the oldest file is carried over to the newest when it is little and room is short.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from lykta_ingest.records import HEAD_BYTES, Entry, Location, Record, decode, encode, texts_length, write_all

__all__ = [
    "FIRST_FREE_KIND",
    "Draft",
    "Entry",
    "Journal",
    "Location",
    "Record",
    "Recovery",
    "SpoolBusyError",
    "SpoolFullError",
]

_CHECKPOINT = 1
_DONE = 2
FIRST_FREE_KIND = 16
_CARRY_BYTES_MAX = 16 << 20
_SUFFIX = ".journal"


class SpoolFullError(Exception):
    """The bound of the spool, or the disk under it, is reached; space returns as segments are stored."""


class SpoolBusyError(Exception):
    """Another process holds the spool directory, or more waits to be written than may wait."""


@dataclass(slots=True)
class Recovery:
    """What a journal held when it was opened: live entries in the order they were written, and the marks."""

    entries: list[Entry] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    torn_bytes: int = 0
    damaged_files: list[str] = field(default_factory=list)


class Draft(Protocol):
    """A record in the making; both methods run in the journal's worker thread."""

    def build(self) -> Sequence[Record]:
        """Make the records; called once, in the order of submission."""

    def abandon(self) -> None:
        """Undo what `build` changed, because its records were not kept; called newest first."""


@dataclass(slots=True)
class _File:
    number: int
    fd: int
    size: int
    live: int = 0
    live_bytes: int = 0


class _Held(NamedTuple):
    """A live record: where it begins, how long it is with its body, and where its body was said to lie."""

    file: int
    start: int
    length: int
    body: Location


class Journal:
    """The files of a spool. All methods but `read` belong to one thread at a time; `open` locks the directory."""

    def __init__(self, directory: Path, max_bytes: int, file_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._file_bytes = min(file_bytes, max(64 * 1024, max_bytes // 4))
        self._reserve = min(1 << 20, max_bytes // 8)
        self._files: dict[int, _File] = {}
        self._keys: dict[str, list[_Held]] = {}
        self._moved: dict[Location, Location] = {}
        self._marks: dict[str, int] = {}
        self._current: _File | None = None
        self._lock_fd = -1
        self._reading = threading.Lock()
        self._unsynced: list[int] = []
        self.used_bytes = 0

    @classmethod
    def open(cls, directory: Path, max_bytes: int, file_bytes: int = 64 << 20) -> tuple[Journal, Recovery]:
        """Lock the directory, recover what it holds and begin a new file; raises SpoolBusyError when it is taken."""
        directory.mkdir(parents=True, exist_ok=True)
        journal = cls(directory, max_bytes, file_bytes)
        journal._take_lock()
        recovery = Recovery()
        numbers = sorted(int(path.stem) for path in directory.glob(f"*{_SUFFIX}") if path.stem.isdigit())
        for number in numbers:
            journal._recover(number, recovery, last=number == numbers[-1])
        journal._settle(recovery)
        return journal, recovery

    @property
    def max_bytes(self) -> int:
        """The bound of the spool."""
        return self._max_bytes

    def commit(self, drafts: Sequence[Draft], done: Sequence[str] = ()) -> list[list[Location] | Exception]:
        """Write the drafts and forget the done keys with one `fdatasync`; answers one result per draft, in order.

        A draft that does not fit fails with SpoolFullError and is abandoned; the others are kept. When the disk
        refuses to sync, all fail: nothing may be believed that was not flushed.
        """
        results: list[list[Location] | Exception] = []
        self._forget(done)
        for draft in drafts:
            try:
                results.append(self._write(draft.build()))
            except Exception as error:  # boundary: worker; the error reaches the one who submitted the draft
                draft.abandon()
                results.append(error)
        try:
            self._sync()
        except OSError as error:
            for draft, result in reversed(list(zip(drafts, results, strict=True))):
                if not isinstance(result, Exception):
                    draft.abandon()
            self._roll_over()
            return [error for _ in drafts]
        return results

    def read(self, location: Location) -> bytes:
        """Return a body; any thread. Raises OSError when the disk cannot give it back whole."""
        body = bytearray(location.length)
        self.read_into(location, memoryview(body))
        return bytes(body)

    def read_into(self, location: Location, target: memoryview) -> None:
        """Read a body into memory of its length; any thread. Raises OSError when the disk cannot give it back whole."""
        with self._reading:
            now = self._moved.get(location, location)
            count = os.preadv(self._files[now.file].fd, [target[: now.length]], now.offset)
        if count != location.length:
            raise OSError(errno.EIO, "the spool file is shorter than its records")

    def close(self) -> None:
        """Close the files and give the lock back."""
        for file in self._files.values():
            os.close(file.fd)
        self._files.clear()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    # -- writing -------------------------------------------------------------------------------------------------

    def _write(self, records: Sequence[Record]) -> list[Location]:
        if not records:
            return []
        buffers: list[bytes | bytearray | memoryview] = []
        total = 0
        for record in records:
            head = encode(record)
            buffers += [head, record.body]
            total += len(head) + len(record.body)
        file = self._room(total, urgent=not any(len(record.body) for record in records))
        start = file.size
        try:
            write_all(file.fd, buffers)
        except OSError as error:
            os.ftruncate(file.fd, start)
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise SpoolFullError("the disk under the spool is full; free space or enlarge the volume") from error
            raise
        file.size += total
        self.used_bytes += total
        if file.fd not in self._unsynced:
            self._unsynced.append(file.fd)
        return self._account(file, records, start)

    def _account(self, file: _File, records: Sequence[Record], position: int) -> list[Location]:
        locations = []
        for record in records:
            start = position
            position += HEAD_BYTES + texts_length(record)
            body = Location(file.number, position, len(record.body))
            locations.append(body)
            position += len(record.body)
            if record.kind >= FIRST_FREE_KIND:
                self._remember(record.key, _Held(file.number, start, position - start, body))
            if record.subject:
                self._marks[record.subject] = max(record.position, self._marks.get(record.subject, 0))
        return locations

    def _remember(self, key: str, held: _Held) -> None:
        file = self._files[held.file]
        file.live += 1
        file.live_bytes += held.length
        self._keys.setdefault(key, []).append(held)

    def _room(self, total: int, *, urgent: bool) -> _File:
        """Return the file to write to, begun anew where the current one is full; small records may use the reserve."""
        bound = self._max_bytes if urgent else self._max_bytes - self._reserve
        if self.used_bytes + total > bound and self._current and not self._current.live:
            self._roll_over()
        if self.used_bytes + total > bound:
            raise SpoolFullError(
                f"the spool holds its bound of {self._max_bytes} bytes; see why segments are not stored, or raise it"
            )
        current = self._current
        if current is None or current.size + total > self._file_bytes:
            current = self._roll_over()
        return current

    def _roll_over(self) -> _File:
        """Begin the next file with a checkpoint of all marks; files whose records are all done are given back."""
        number = max(self._files, default=0) + 1
        path = self._directory / f"{number:020d}{_SUFFIX}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_APPEND, 0o600)
        head = encode(Record(_CHECKPOINT, "", json.dumps(self._marks, separators=(",", ":")).encode()))
        try:
            write_all(fd, [head])
            os.fdatasync(fd)
        except OSError as error:
            os.close(fd)
            path.unlink()
            raise SpoolFullError("the disk under the spool is full; free space or enlarge the volume") from error
        file = _File(number, fd, len(head))
        with self._reading:
            self._files[number] = file
        self.used_bytes += file.size
        self._current = file
        self._sync_directory()
        self._give_back()
        self._carry_over()
        return file

    def _forget(self, done: Sequence[str]) -> None:
        known = [key for key in done if key in self._keys]
        if not known:
            return
        # Forgetting in memory is enough to go on: after a crash the records are merely stored once more.
        with contextlib.suppress(SpoolFullError, OSError):
            self._write([Record(_DONE, "", json.dumps(known, separators=(",", ":")).encode())])
        self._release(known)
        self._give_back()

    def _release(self, keys: Sequence[str]) -> None:
        for key in keys:
            for held in self._keys.pop(key, ()):
                self._drop(held)
                self._moved.pop(held.body, None)

    def _drop(self, held: _Held) -> None:
        file = self._files[held.file]
        file.live -= 1
        file.live_bytes -= held.length

    def _carry_over(self) -> None:
        """Copy what is left in the oldest file to the current one, where it is little and half the spool is used.

        The copies are flushed before the file goes; after a crash between the two, recovery keeps one of each.
        """
        oldest, current = self._files[min(self._files)], self._current
        little = oldest.live_bytes <= _CARRY_BYTES_MAX and oldest.live_bytes * 4 < oldest.size
        if (
            current is None
            or oldest is current
            or not oldest.live
            or not little
            or self.used_bytes * 2 < self._max_bytes
        ):
            return
        try:
            for entries in self._keys.values():
                for index, held in enumerate(entries):
                    if held.file == oldest.number:
                        entries[index] = self._copy(held, current)
            os.fdatasync(current.fd)
        except OSError:
            # The file stays as long as this process lives: its copies may not be safe.
            os.ftruncate(current.fd, current.size)
            oldest.live += 1
            return
        self._give_back()

    def _copy(self, held: _Held, target: _File) -> _Held:
        write_all(target.fd, [os.pread(self._files[held.file].fd, held.length, held.start)])
        copied = held._replace(file=target.number, start=target.size)
        now = Location(target.number, target.size + held.length - held.body.length, held.body.length)
        with self._reading:
            self._moved[held.body] = now
        self._drop(held)
        target.size += held.length
        target.live += 1
        target.live_bytes += held.length
        self.used_bytes += held.length
        return copied

    def _give_back(self) -> None:
        """Delete the oldest files while nothing in them is live; never a younger one first (its DONEs count)."""
        for number in sorted(self._files):
            file = self._files[number]
            if file.live or file is self._current:
                return
            with self._reading:
                del self._files[number]
                os.close(file.fd)
            if file.fd in self._unsynced:
                self._unsynced.remove(file.fd)
            (self._directory / f"{number:020d}{_SUFFIX}").unlink()
            self.used_bytes -= file.size

    def _sync(self) -> None:
        while self._unsynced:
            os.fdatasync(self._unsynced.pop())

    def _sync_directory(self) -> None:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    # -- recovery ------------------------------------------------------------------------------------------------

    def _take_lock(self) -> None:
        self._lock_fd = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._lock_fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock_fd)
            self._lock_fd = -1
            raise SpoolBusyError(
                f"the spool {self._directory} is in use by process {holder}; give each recorder a spool of its own"
            ) from error
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode(), 0)

    def _recover(self, number: int, recovery: Recovery, *, last: bool) -> None:
        path = self._directory / f"{number:020d}{_SUFFIX}"
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_APPEND)
        file = _File(number, fd, os.fstat(fd).st_size)
        self._files[number] = file
        position = 0
        while (found := decode(fd, position, file.size, check_body=last)) is not None:
            entry, following = found
            body = Location(number, entry.location.offset, entry.location.length)
            self._replay(replace(entry, location=body), _Held(number, position, following - position, body), recovery)
            position = following
        if position < file.size:
            if last:
                recovery.torn_bytes = file.size - position
                os.ftruncate(fd, position)
                os.fdatasync(fd)
                file.size = position
            else:
                recovery.damaged_files.append(path.name)
        self.used_bytes += file.size

    def _replay(self, entry: Entry, held: _Held, recovery: Recovery) -> None:
        if entry.kind == _CHECKPOINT:
            for subject, position in json.loads(entry.meta).items():
                self._marks[subject] = max(position, self._marks.get(subject, 0))
        elif entry.kind == _DONE:
            self._release(json.loads(entry.meta))
        else:
            self._remember(entry.key, held)
            recovery.entries.append(entry)
            if entry.subject:
                self._marks[entry.subject] = max(entry.position, self._marks.get(entry.subject, 0))

    def _settle(self, recovery: Recovery) -> None:
        newest = {(entry.kind, entry.key, entry.meta): entry for entry in recovery.entries if entry.key in self._keys}
        recovery.entries = list(newest.values())
        recovery.marks = dict(self._marks)
        try:
            self._roll_over()
        except SpoolFullError:
            self._current = None
            self._give_back()
