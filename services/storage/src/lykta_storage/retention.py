"""Deletes camera-hours on time: the private key, then the objects, then the receipt; resumable at every step."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from lykta_common.clock import Clock
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.objectstore import ObjectStore
from lykta_common.telemetry import Telemetry, traceparent
from lykta_contracts.audit import Actor, AuditRecord
from lykta_contracts.events import CloudEvent, SegmentDeleted, new_event
from lykta_contracts.instants import from_ms, hour_of, hour_start, to_ms
from lykta_contracts.media import hour_prefix

from lykta_storage.audit_trail import AuditTrail
from lykta_storage.domain.deletion import HourState, is_due, receipt_id, segments_digest
from lykta_storage.domain.footage import HOUR_MS, CameraHour
from lykta_storage.domain.terms import retention_hours_during, retention_hours_of
from lykta_storage.store.hours import HourRow, HourStore
from lykta_storage.store.terms import TermStore
from lykta_storage.store.versions import ObjectVersions

log = get_logger(__name__)

ACTOR = Actor(kind="service", id="storage")


@dataclass(frozen=True)
class Scope:
    """Whose hours a run looks at; empty means all."""

    controller: str = ""
    camera: str = ""

    def covers(self, hour: CameraHour) -> bool:
        """Say whether an hour is in the scope."""
        return self.controller in ("", hour.controller) and self.camera in ("", hour.camera)


@dataclass(frozen=True)
class Deleted:
    """One deletion that ended."""

    hour: CameraHour
    segments: int
    audit_entry_id: str


class Retention:
    """The deletion of camera-hours; one run at a time."""

    def __init__(
        self,
        *,
        hours: HourStore,
        terms: TermStore,
        bucket: ObjectStore,
        versions: ObjectVersions,
        trail: AuditTrail,
        clock: Clock,
        source: str,
    ) -> None:
        self._hours = hours
        self._terms = terms
        self._bucket = bucket
        self._versions = versions
        self._trail = trail
        self._clock = clock
        self._source = source
        self._one = asyncio.Lock()
        self.on_deleted: Callable[[Deleted], None] = lambda _: None
        """Called for every deletion that ended."""
        self.on_round: Callable[[], None] = lambda: None
        """Called when a whole round went well."""

    async def keep_running(self, telemetry: Telemetry, every_seconds: float) -> None:
        """Delete what is due, round after round until cancelled; a failed hour is resumed in the next round."""
        while True:
            try:
                with telemetry.span("retention round"):
                    await self.run(self._clock.now())
                self.on_round()
            except PlatformError as error:
                log.warning("retention_waiting", reason=error.reason, error=error.message)
            await self._clock.sleep(every_seconds)

    async def run(self, as_of: datetime, scope: Scope | None = None) -> list[Deleted]:
        """Finish what was begun, then delete every hour that is due at `as_of`; hours to come are never touched."""
        asked, now_ms = scope or Scope(), to_ms(as_of)
        done: list[Deleted] = []
        async with self._one:
            for row in await self._hours.unfinished():
                if asked.covers(row.hour):
                    done += await self._finish(row)
            newest = min(hour_of(self._clock.now()), hour_of(from_ms(now_ms - HOUR_MS)))
            for hour in await self._hours.open_until(newest):
                if asked.covers(hour):
                    done += await self._delete_if_due(hour, now_ms)
        return done

    async def is_deleted(self, hour: CameraHour) -> bool:
        """Say whether the deletion of an hour has begun."""
        row = await self._hours.get(hour)
        return row is not None and row.state is not HourState.OPEN

    async def delete_late(self, hour: CameraHour, key: str, segment_id: str) -> None:
        """Delete an object that turned up after its hour's key was destroyed, and log that."""
        async with self._one:
            await self._versions.delete(key)
            row = await self._hours.get(hour)
            if row is None or row.state in (HourState.OPEN, HourState.KEY_DESTROYED):
                return  # the deletion under way has it in its receipt
            entry_id = receipt_id(hour, row.destroyed_ms, segment_id)
            await self._trail.note(self._record(row, entry_id, [segment_id], late=True))
            await self._hours.announce(self._event(row, entry_id, [segment_id]))
        log.info("late_segment_deleted", controller=hour.controller, camera=hour.camera, segment_id=segment_id)

    async def _delete_if_due(self, hour: CameraHour, now_ms: int) -> list[Deleted]:
        hours = await self._retention_hours(hour)
        if not is_due(hour, hours, now_ms):
            return []
        await self._hours.destroy_key(hour, to_ms(self._clock.now()), f"retention {hours} h")
        log.info("hour_key_destroyed", controller=hour.controller, camera=hour.camera, hour=hour.hour)
        row = await self._hours.get(hour)
        return [] if row is None else await self._finish(row)

    async def _retention_hours(self, hour: CameraHour) -> int:
        terms = await self._terms.of_camera(hour.controller, hour.camera)
        recorded = await self._hours.mandates_of(hour)
        if recorded:
            return max(retention_hours_of(terms, mandate, version) for mandate, version in recorded)
        start = hour_start(hour.hour)
        return retention_hours_during(terms, start, from_ms(hour.span()[1]))

    async def _finish(self, row: HourRow) -> list[Deleted]:
        hour, names = row.hour, list(row.segment_ids)
        if row.state is HourState.KEY_DESTROYED:
            prefix = hour_prefix(*hour)
            found = {key.removeprefix(prefix) for key in await self._versions.keys(prefix)}
            names = sorted({*names, *found, *await self._hours.segment_ids(hour)})
            await self._hours.note_segments(hour, names)
            await self._versions.delete_under(prefix)
            await self._hours.objects_deleted(hour)
        if not names:
            await self._hours.finish(hour, None)
            return []
        entry_id = receipt_id(hour, row.destroyed_ms)
        await self._trail.must(self._record(row, entry_id, names, late=False))
        await self._hours.finish(hour, self._event(row, entry_id, names))
        log.info("hour_deleted", controller=hour.controller, camera=hour.camera, hour=hour.hour, segments=len(names))
        deleted = Deleted(hour, len(names), entry_id)
        self.on_deleted(deleted)
        return [deleted]

    def _event(self, row: HourRow, entry_id: str, names: Sequence[str]) -> CloudEvent:
        fact = SegmentDeleted(
            controller=row.hour.controller,
            camera=row.hour.camera,
            hour=row.hour.hour,
            segment_ids=tuple(names),
            policy=row.policy,
            audit_entry_id=entry_id,
        )
        return new_event(fact, f"segment.deleted:{entry_id}", self._source, self._clock.now(), traceparent())

    def _record(self, row: HourRow, entry_id: str, names: Sequence[str], late: bool) -> AuditRecord:
        hour = row.hour
        # Everything in it comes from the row, so that a repetition after a crash is the same entry.
        return AuditRecord(
            entry_id=entry_id,
            occurred_at=from_ms(row.destroyed_ms),
            actor=ACTOR,
            controller=hour.controller,
            action="footage.hour.deleted",
            object=f"camera/{hour.camera}/{hour.hour}",
            result="done",
            details={
                "camera": hour.camera,
                "hour": hour.hour,
                "policy": row.policy,
                "recipient": row.recipient,
                "segment_count": str(len(names)),
                "segment_ids_sha256": segments_digest(names),
                **({"late_segment": names[0]} if late else {}),
            },
        )
