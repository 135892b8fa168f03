"""The parent's side of a decoder child: starts it with nothing, bounds every answer in time, replaces a failed one."""

import asyncio
import contextlib
import fcntl
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from lykta_analytics.decoder.protocol import (
    MAX_FRAME_BYTES,
    MAX_INIT_BYTES,
    MAX_PART_BYTES,
    POSSIBLE,
    RECORD_BYTES,
    RING_BYTES,
    RING_FD_ARGUMENT,
    PartHeader,
    Record,
    RecordKind,
    pack_header,
    unpack_record,
)

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8"}

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture, BGR rows × columns × 3; the array is a view that lives until the next `decode`."""

    at_ms: int
    source_width: int
    source_height: int
    image: Image


class DecoderError(Exception):
    """No pictures; `reason` is `hang`, `crash`, `protocol`, `weak`, `corrupt` or `needs_key`.

    After the last two the child lives on; after the others it has been killed (`weak`: it could still reach what it
    must not, and that is refused here). In every case go on at a key part.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a child may take: to start and lock itself up, and for one part (a hang is killed within 2 s)."""

    start: timedelta = timedelta(seconds=20)
    part: timedelta = timedelta(seconds=1.5)
    stop: timedelta = timedelta(seconds=1)


class DecoderProcess:
    """One camera's decoder child, started when first needed and again after each failure.

    Not safe for concurrent `decode` calls. Use as an async context manager; leaving it kills the child.
    """

    def __init__(
        self,
        deadlines: Deadlines | None = None,
        on_weak: Callable[[Sequence[str]], None] | None = None,
        refuse_weak: bool = False,
    ) -> None:
        self._deadlines = deadlines or Deadlines()
        self._on_weak = on_weak
        self._refuse_weak = refuse_weak
        self._process: asyncio.subprocess.Process | None = None
        self._ring: mmap.mmap | None = None
        self.starts = 0
        self.still_possible: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int | None:
        """Process id of the running child, or None."""
        return self._process.pid if self._process else None

    async def decode(self, from_ms: int, init: bytes, part: bytes) -> list[Picture]:
        """Decodes one part (`init` only with key parts) whose first frame is at `from_ms`; at most 4 pictures.

        Raises `DecoderError`.
        """
        if len(init) > MAX_INIT_BYTES or len(part) > MAX_PART_BYTES:
            raise DecoderError("corrupt")
        process = self._process or await self._start()
        try:
            async with asyncio.timeout(self._deadlines.part.total_seconds()):
                records = await self._exchange(process, PartHeader(from_ms, len(init), len(part)), init, part)
        except TimeoutError as error:
            await self.stop()
            raise DecoderError("hang") from error
        except (EOFError, OSError) as error:
            await self.stop()
            raise DecoderError("crash") from error
        except ValueError as error:
            await self.stop()
            raise DecoderError("protocol") from error
        except asyncio.CancelledError:
            await self.stop()
            raise
        closing = records.pop()
        if closing.kind is RecordKind.DONE:
            return [self._picture(record) for record in records]
        raise DecoderError("needs_key" if closing.kind is RecordKind.NEEDS_KEY else "corrupt")

    async def stop(self) -> None:
        """Kills the child and gives its memory back; idempotent."""
        process, self._process, self._ring = self._process, None, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadlines.stop.total_seconds()):
                await process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        ring_fd = os.memfd_create("lykta-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(ring_fd, RING_BYTES)
            fcntl.fcntl(ring_fd, fcntl.F_ADD_SEALS, _SEALS)
            self._ring = mmap.mmap(ring_fd, RING_BYTES, prot=mmap.PROT_READ)
            command = (sys.executable, "-I", "-m", "lykta_analytics.decoder.child", RING_FD_ARGUMENT, str(ring_fd))
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                pass_fds=(ring_fd,),
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(ring_fd)
        self.starts += 1
        await self._await_ready(self._process)
        return self._process

    async def _await_ready(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(self._deadlines.start.total_seconds()):
                record = await self._record(process)
        except (TimeoutError, EOFError, ValueError) as error:
            await self.stop()
            raise DecoderError("crash") from error
        except asyncio.CancelledError:
            await self.stop()
            raise
        self.still_possible = tuple(name for bit, name in enumerate(POSSIBLE) if record.slot & 1 << bit)
        if self.still_possible and self._on_weak is not None:
            self._on_weak(self.still_possible)
        if self.still_possible and self._refuse_weak:
            await self.stop()
            raise DecoderError("weak")

    async def _exchange(
        self, process: asyncio.subprocess.Process, header: PartHeader, init: bytes, part: bytes
    ) -> list[Record]:
        if process.stdin is None:
            raise EOFError
        process.stdin.write(pack_header(header) + init)
        process.stdin.write(part)
        await process.stdin.drain()
        records = [await self._record(process)]
        while records[-1].kind is RecordKind.FRAME:
            records.append(await self._record(process))
            if len(records) > 8:
                raise ValueError("the child answers without end")
        return records

    async def _record(self, process: asyncio.subprocess.Process) -> Record:
        if process.stdout is None:
            raise EOFError
        return unpack_record(await process.stdout.readexactly(RECORD_BYTES))

    def _picture(self, record: Record) -> Picture:
        if self._ring is None:
            raise DecoderError("crash")
        size = record.width * record.height * 3
        pixels = np.frombuffer(self._ring, np.uint8, size, record.slot * MAX_FRAME_BYTES)
        image = pixels.reshape(record.height, record.width, 3)
        return Picture(record.at_ms, record.source_width, record.source_height, image)
