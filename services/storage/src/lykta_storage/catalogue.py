"""Takes segments and gaps into the catalogue: from events, and from the bucket alone."""

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError, invalid
from lykta_common.logging import get_logger
from lykta_common.objectstore import ObjectInfo, ObjectStore
from lykta_common.telemetry import Telemetry, traceparent
from lykta_contracts.events import CloudEvent, GapDeclared, SegmentRecorded, SegmentStored, new_event
from lykta_contracts.ids import is_slug, segment_id
from lykta_contracts.instants import hour_of, to_ms
from lykta_contracts.media import SegmentIndex, hour_prefix, object_key, read_trailer
from lykta_contracts.model import Message
from pydantic import ValidationError

from lykta_storage.domain.footage import LONGEST_FRAGMENT_MS, CameraHour, SegmentState
from lykta_storage.retention import Retention
from lykta_storage.store.footage import FootageStore, SegmentObject
from lykta_storage.store.hours import HourStore

log = get_logger(__name__)

ROOT: Final = "footage/"
FIRST_LOOK: Final = timedelta(hours=24)
LATER_LOOKS: Final = timedelta(hours=2)
RECONCILE_SECONDS: Final = 600.0
RETRY_SECONDS: Final = 30.0
_TAIL_BYTES: Final = 32 * 1024


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild found; `refused` counts objects that are no segments."""

    segments: int
    refused: int


class Catalogue:
    """Writes the catalogue; idempotent in everything."""

    def __init__(
        self,
        *,
        store: FootageStore,
        hours: HourStore,
        bucket: ObjectStore,
        retention: Retention,
        clock: Clock,
        source: str,
    ) -> None:
        self._store = store
        self._hours = hours
        self._bucket = bucket
        self._retention = retention
        self._clock = clock
        self._source = source

    async def on_event(self, event: CloudEvent, data: Message) -> None:
        """Take in `segment.recorded` and `gap.declared`; other events mean nothing here.

        Raises PlatformError OBJECT_MISSING (retryable) until the object is there, INTEGRITY when it has another size.
        """
        if isinstance(data, SegmentRecorded):
            await self._recorded(event, data)
        elif isinstance(data, GapDeclared):
            await self._declared(data)

    async def rebuild(self) -> Rebuilt:
        """Take in every object of the bucket by its trailer; rows that exist are left as they are."""
        segments = refused = 0
        async for found in self._bucket.list(ROOT):
            if await self._take_in(found, announce=False):
                segments += 1
            else:
                refused += 1
        return Rebuilt(segments, refused)

    async def keep_reconciled(self, telemetry: Telemetry) -> None:
        """Find objects whose events were lost, round after round until cancelled: a day back first, then two hours."""
        back = FIRST_LOOK
        while True:
            try:
                with telemetry.span("reconciliation round"):
                    await self.reconcile(back)
                back, pause = LATER_LOOKS, RECONCILE_SECONDS
            except PlatformError as error:
                log.warning("reconciliation_waiting", reason=error.reason, error=error.message)
                pause = RETRY_SECONDS
            await self._clock.sleep(pause)

    async def reconcile(self, back: timedelta) -> int:
        """Take in objects of the hours up to now that are not in the catalogue; return how many there were."""
        now, found = self._clock.now(), 0
        first = hour_of(now - back)
        for hour in await self._hours.open_until(hour_of(now)):
            if hour.hour < first:
                continue
            known, prefix = set(await self._hours.segment_ids(hour)), hour_prefix(*hour)
            async for entry in self._bucket.list(prefix):
                if entry.key.removeprefix(prefix) not in known:
                    found += await self._take_in(entry, announce=True)
        return found

    async def _take_in(self, found: ObjectInfo, announce: bool) -> bool:
        try:
            index = await self._read_index(found)
            check_index(index, found.key, found.size_bytes)
            await self._keep(index, found, self._stored(index, traceparent()) if announce else None, exists=True)
        except PlatformError as error:
            if error.retryable:
                raise
            log.error("object_refused", key=found.key, reason=error.reason, error=error.message)
            return False
        return True

    async def _recorded(self, event: CloudEvent, data: SegmentRecorded) -> None:
        if data.bucket != self._bucket.bucket:
            raise invalid(f"the segment lies in bucket {data.bucket!r}, not in {self._bucket.bucket!r}")
        check_index(data.index, data.key, data.size_bytes)
        index = data.index
        found = await self._object(data.key, index)
        if found is not None and found.size_bytes != data.size_bytes:
            message = f"the object {data.key} has {found.size_bytes} bytes, its event says {data.size_bytes}"
            raise PlatformError(Code.FAILED_PRECONDITION, "INTEGRITY", message)
        stored = self._stored(index, traceparent() or event.traceparent)
        await self._keep(index, ObjectInfo(data.key, data.size_bytes), stored, exists=found is not None)

    def _stored(self, index: SegmentIndex, trace: str) -> CloudEvent:
        fact = SegmentStored(controller=index.controller, camera=index.camera, segment_id=index.segment_id)
        name = f"segment.stored:{index.controller}:{index.segment_id}"
        return new_event(fact, name, self._source, self._clock.now(), trace)

    async def _object(self, key: str, index: SegmentIndex) -> ObjectInfo | None:
        """HEAD the object; None when it is missing because its hour was deleted."""
        try:
            return await self._bucket.head(key)
        except PlatformError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            if await self._retention.is_deleted(hour_of_index(index)):
                return None
            message = f"the object {key} is missing from the store; upload it again"
            raise PlatformError(Code.UNAVAILABLE, "OBJECT_MISSING", message) from error

    async def _keep(
        self, index: SegmentIndex, found: ObjectInfo, announce: CloudEvent | None = None, *, exists: bool
    ) -> None:
        digest = hashlib.sha256(json.dumps(index.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
        state = await self._store.commit(SegmentObject(index, found.key, found.size_bytes, digest), announce)
        if state is SegmentState.DELETED and exists:
            await self._retention.delete_late(hour_of_index(index), found.key, index.segment_id)

    async def _declared(self, gap: GapDeclared) -> None:
        if not (is_slug(gap.controller) and is_slug(gap.camera)) or gap.from_at >= gap.to_at:
            raise invalid(f"gap {gap.gap_id}: bad controller, camera or interval")
        await self._store.commit_gap(gap)

    async def _read_index(self, found: ObjectInfo) -> SegmentIndex:
        length = min(_TAIL_BYTES, found.size_bytes)
        try:
            trailer = read_trailer(await self._bucket.get_range(found.key, found.size_bytes - length, length))
            if isinstance(trailer, int):
                if trailer > found.size_bytes:
                    raise invalid(f"the trailer of {found.key} is longer than the object")
                trailer = read_trailer(await self._bucket.get_range(found.key, found.size_bytes - trailer, trailer))
            if isinstance(trailer, int):
                raise invalid(f"the trailer of {found.key} is cut off")
        except (ValueError, ValidationError) as error:
            raise invalid(f"{found.key} is no segment: {error}") from error
        return trailer


def hour_of_index(index: SegmentIndex) -> CameraHour:
    """Return the camera-hour a segment belongs to."""
    return CameraHour(index.controller, index.camera, index.hour)


def check_index(index: SegmentIndex, key: str, size_bytes: int) -> None:
    """Check that an index is consistent with itself and with its object; raises PlatformError INVALID_FIELD."""
    what = f"segment {index.segment_id}"
    if not (is_slug(index.controller) and is_slug(index.camera)):
        raise invalid(f"{what}: bad controller or camera")
    if key != object_key(index.controller, index.camera, index.hour, index.segment_id):
        raise invalid(f"{what}: its object has the wrong key {key!r}")
    first, seal = index.fragments[0], index.seal
    if index.segment_id != segment_id(index.camera, index.epoch, to_ms(first.from_at)):
        raise invalid(f"{what}: not named after its camera, epoch and first fragment")
    if seal.first_leaf + len(index.fragments) > seal.count:
        raise invalid(f"{what}: its seal does not cover it")
    end = 0
    for entry in index.fragments:
        duration_ms = to_ms(entry.to_at) - to_ms(entry.from_at)
        if hour_of(entry.from_at) != index.hour or not 0 < duration_ms <= LONGEST_FRAGMENT_MS:
            raise invalid(f"{what}: a fragment outside its hour, or empty, or longer than {LONGEST_FRAGMENT_MS} ms")
        if entry.offset < end or entry.offset + entry.length > size_bytes or entry.init_length >= entry.plain_length:
            raise invalid(f"{what}: fragments overlap or reach out of the object")
        end = entry.offset + entry.length
