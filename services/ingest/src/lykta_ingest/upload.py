"""Brings complete segments to the object store, announces them, and frees the spool once storage has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from lykta_common.backoff import Backoff
from lykta_common.clock import Clock
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.signing import Signer
from lykta_contracts.events import CloudEvent, SegmentRecorded, new_event
from lykta_contracts.media import SegmentIndex

from lykta_ingest.announcements import Announcements
from lykta_ingest.commit import GroupCommit
from lykta_ingest.domain import CameraRef
from lykta_ingest.journal import Journal
from lykta_ingest.segments import Stored, segment_index, segment_object

log = get_logger(__name__)


class SegmentStore(Protocol):
    """What of the object store is needed here."""

    bucket: str

    async def put_if_absent(self, key: str, payload: bytearray) -> bool:
        """Write an object once; False when it is there already. Raises PlatformError."""
        ...


@dataclass(slots=True)
class _Segment:
    parts: list[Stored] = field(default_factory=list)
    announced: int = 0
    announced_at: float = 0.0


@dataclass(frozen=True, slots=True)
class UploadRules:
    """How many uploads run at once, and after how long an unconfirmed segment is announced again (seconds)."""

    parallel: int
    announce_again_s: float
    source: str


class Uploader:
    """Segments from their last fragment to storage's confirmation; oldest first, each as often as it takes."""

    def __init__(
        self,
        spool: tuple[Journal, GroupCommit],
        store: SegmentStore,
        announcements: Announcements,
        signer: Signer,
        clock: Clock,
        rules: UploadRules,
    ) -> None:
        self._journal, self._commit = spool
        self._store = store
        self._announcements = announcements
        self._signer = signer
        self._clock = clock
        self._rules = rules
        self._segments: dict[str, _Segment] = {}
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._away = False
        self._probe = asyncio.Lock()
        self._backoff = Backoff(first=0.2, most=5.0)
        self._reader = ThreadPoolExecutor(2, thread_name_prefix="upload")
        self.on_uploaded: Callable[[CameraRef], None] = lambda _: None
        self.on_stored: Callable[[CameraRef, int], None] = lambda _, __: None

    def add(self, part: Stored) -> None:
        """Take a fragment that is safe in the spool."""
        self._segments.setdefault(part.fragment.key, _Segment()).parts.append(part)

    def close(self, key: str) -> None:
        """Learn that a segment is complete; an unknown one has lost all its fragments and is ignored.

        The queue has no bound of its own: everything in it lies in the spool, which has one.
        """
        if key in self._segments:
            self._ready.put_nowait(key)

    def knows(self, key: str) -> bool:
        """Say whether the segment still lies in the spool."""
        return key in self._segments

    @property
    def unsent(self) -> int:
        """How many segments in the spool are not in the object store yet."""
        return sum(1 for segment in self._segments.values() if not segment.announced)

    def stored(self, key: str) -> bool:
        """Free the spool of a segment that storage has committed; False when it is not ours."""
        segment = self._segments.pop(key, None)
        if segment is None:
            return False
        self._commit.done(key)
        self.on_stored(segment.parts[0].fragment.terms.ref, len(segment.parts))
        return True

    async def run(self) -> None:
        """Upload until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(self._rules.parallel):
                    tasks.create_task(self._work(), name=f"upload-{number}")
                tasks.create_task(self._announce_again(), name="announce-again")
        finally:
            self._reader.shutdown(wait=False)

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            segment = self._segments.get(key)
            if segment is not None:
                await self._upload(key, segment)

    async def _upload(self, key: str, segment: _Segment) -> None:
        while key in self._segments:
            if not self._away:
                event = await self._try(key, segment)
            else:
                # While the store is away one segment tries for all, so that retries do not grow with the backlog.
                async with self._probe:
                    event = await self._try(key, segment)
            if event is not None:
                if not segment.announced:
                    self.on_uploaded(segment.parts[0].fragment.terms.ref)
                self._announce(event, segment)
                return

    async def _try(self, key: str, segment: _Segment) -> CloudEvent | None:
        try:
            event = await self._put(segment)
        except (PlatformError, OSError) as error:
            self._away = True
            log.warning("segment_upload_failed", segment=key, ready=self._ready.qsize(), error=str(error))
            await self._clock.sleep(self._backoff.next())
            return None
        self._away = False
        self._backoff.reset()
        return event

    async def _put(self, segment: _Segment) -> CloudEvent:
        loop = asyncio.get_running_loop()
        index, key, payload = await loop.run_in_executor(self._reader, self._assemble, segment)
        await self._store.put_if_absent(key, payload)
        return self._event(segment, index, key, len(payload))

    def _assemble(self, segment: _Segment) -> tuple[SegmentIndex, str, bytearray]:
        segment.parts.sort(key=lambda part: part.fragment.leaf)
        index = segment_index([part.fragment for part in segment.parts], self._signer)
        parts = segment.parts
        key, payload = segment_object(index, lambda number, into: self._journal.read_into(parts[number].location, into))
        return index, key, payload

    def _event(self, segment: _Segment, index: SegmentIndex, key: str, size: int) -> CloudEvent:
        data = SegmentRecorded(index=index, bucket=self._store.bucket, key=key, size_bytes=size)
        first = segment.parts[0].fragment
        return new_event(data, f"segment.{first.key}", self._rules.source, index.to_at, first.traceparent)

    def _announce(self, event: CloudEvent, segment: _Segment) -> None:
        """State the fact; a repetition gets a message id of its own, which the server's duplicate window lets by."""
        segment.announced += 1
        message_id = event.id if segment.announced == 1 else f"{event.id}#{segment.announced}"

        def published() -> None:
            segment.announced_at = self._clock.monotonic()

        self._announcements.announce(event, published, message_id)

    async def _announce_again(self) -> None:
        """Repeat what storage did not confirm in time: its answer, or the announcement, may be lost."""
        wait_s = self._rules.announce_again_s
        while True:
            await self._clock.sleep(min(10.0, wait_s))
            now = self._clock.monotonic()
            for key, segment in list(self._segments.items()):
                if segment.announced_at and now - segment.announced_at > wait_s:
                    segment.announced_at = 0.0
                    log.warning("segment_unconfirmed", segment=key, announced=segment.announced)
                    self.close(key)
