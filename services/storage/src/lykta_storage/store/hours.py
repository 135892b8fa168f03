"""Rows of camera-hours: their wrapped keys, and how far their deletion has come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lykta_common.database import Database
from lykta_common.outbox import Outbox
from lykta_contracts.events import CloudEvent
from sqlalchemy import and_, delete, func, select, update

from lykta_storage.domain.deletion import Deletion, HourState
from lykta_storage.domain.footage import CameraHour, SegmentState
from lykta_storage.store.tables import hour_keys, hours, insert_new, segments


@dataclass(frozen=True)
class NewKey:
    """A key pair of an hour; the private half is wrapped."""

    hour: CameraHour
    recipient: str
    wrapped: bytes


@dataclass(frozen=True)
class HourRow:
    """Where an hour stands; `policy`, `destroyed_ms` and `segment_ids` are those of its deletion."""

    hour: CameraHour
    state: HourState
    recipient: str
    destroyed_ms: int
    policy: str
    segment_ids: tuple[str, ...]


class HourStore:
    """Camera-hours in the database; every method is one transaction."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def add_keys(self, keys: Sequence[NewKey]) -> None:
        """Write keys of hours that are not known yet; an hour that is known, destroyed ones too, keeps what it has."""
        async with self._database.transaction() as connection:
            for key in keys:
                place = key.hour._asdict()
                if (await connection.execute(select(hours.c.state).where(_is(hours, key.hour)))).one_or_none():
                    continue
                fresh = {"state": HourState.OPEN, "policy": "", "segment_ids": "", "segment_count": 0}
                await insert_new(connection, hours, [{**place, **fresh, "recipient": key.recipient}])
                await insert_new(connection, hour_keys, [{**place, "wrapped": key.wrapped}])

    async def rows(self, controller: str, camera: str, first: str, last: str) -> dict[str, HourRow]:
        """Return the known hours of a camera from one to another, both included, by name."""
        query = select(hours).where(hours.c.controller == controller, hours.c.camera == camera)
        async with self._database.reading() as connection:
            found = (await connection.execute(query.where(hours.c.hour.between(first, last)))).all()
        return {row.hour: _row(row) for row in found}

    async def get(self, hour: CameraHour) -> HourRow | None:
        """Return one hour; None when it is not known."""
        async with self._database.reading() as connection:
            row = (await connection.execute(select(hours).where(_is(hours, hour)))).one_or_none()
        return None if row is None else _row(row)

    async def wrapped_key(self, hour: CameraHour) -> bytes | None:
        """Return the wrapped private key; None when it was destroyed or never was."""
        async with self._database.reading() as connection:
            return await connection.scalar(select(hour_keys.c.wrapped).where(_is(hour_keys, hour)))

    async def keys_alive(self) -> int:
        """Count the hours whose private key exists."""
        async with self._database.reading() as connection:
            return int(await connection.scalar(select(func.count()).select_from(hour_keys)) or 0)

    async def open_until(self, last: str) -> list[CameraHour]:
        """Return every hour up to one, included, that was not deleted, the oldest first."""
        query = select(hours).where(hours.c.state == HourState.OPEN, hours.c.hour <= last)
        async with self._database.reading() as connection:
            found = (await connection.execute(query.order_by(hours.c.hour, hours.c.controller, hours.c.camera))).all()
        return [_row(row).hour for row in found]

    async def unfinished(self) -> list[HourRow]:
        """Return every hour whose deletion has begun and not ended."""
        begun = hours.c.state.in_((HourState.KEY_DESTROYED, HourState.OBJECTS_DELETED))
        async with self._database.reading() as connection:
            found = (await connection.execute(select(hours).where(begun).order_by(hours.c.hour))).all()
        return [_row(row) for row in found]

    async def mandates_of(self, hour: CameraHour) -> set[tuple[str, int]]:
        """Return the mandate versions under which the hour's footage was recorded."""
        query = select(segments.c.mandate_id, segments.c.mandate_version).where(_is(segments, hour)).distinct()
        async with self._database.reading() as connection:
            return {(row.mandate_id, row.mandate_version) for row in (await connection.execute(query)).all()}

    async def segment_ids(self, hour: CameraHour) -> list[str]:
        """Return the ids of the hour's segments in the catalogue."""
        async with self._database.reading() as connection:
            return list((await connection.scalars(select(segments.c.segment_id).where(_is(segments, hour)))).all())

    async def destroy_key(self, hour: CameraHour, now_ms: int, policy: str) -> None:
        """Delete the private key (the database overwrites it) and begin the deletion, in one transaction."""
        async with self._database.transaction() as connection:
            await connection.execute(delete(hour_keys).where(_is(hour_keys, hour)))
            change = {"state": HourState.KEY_DESTROYED, "destroyed_ms": now_ms, "policy": policy}
            await connection.execute(
                update(hours).where(_is(hours, hour), hours.c.state == HourState.OPEN).values(change)
            )
        await self._erase_journal()

    async def note_segments(self, hour: CameraHour, segment_ids: Sequence[str]) -> None:
        """Remember what is about to be deleted, so that the receipt is whole after a crash."""
        values = {"segment_ids": "\n".join(sorted(segment_ids)), "segment_count": len(segment_ids)}
        async with self._database.transaction() as connection:
            await connection.execute(update(hours).where(_is(hours, hour)).values(values))

    async def objects_deleted(self, hour: CameraHour) -> None:
        """Say that the hour's objects are gone, and mark its segments so."""
        gone = {"state": SegmentState.DELETED}
        async with self._database.transaction() as connection:
            await connection.execute(update(segments).where(_is(segments, hour)).values(gone))
            await connection.execute(update(hours).where(_is(hours, hour)).values({"state": HourState.OBJECTS_DELETED}))

    async def finish(self, hour: CameraHour, announce: CloudEvent | None) -> None:
        """End the deletion; the event that says so is written with it."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(hours).where(_is(hours, hour)).values({"state": HourState.DELETED, "segment_ids": ""})
            )
            if announce is not None:
                await self._outbox.add(connection, announce)

    async def delete_again(self, deletions: Sequence[Deletion]) -> tuple[set[CameraHour], int]:
        """Destroy the keys of hours whose deletion the log tells of, in one transaction; an unknown hour is noted.

        Return the hours that are deleted now, and how many keys there were. An hour with another key than the one
        that was destroyed is left alone.
        """
        gone: set[CameraHour] = set()
        keys = 0
        async with self._database.transaction() as connection:
            for item in deletions:
                query = select(hours.c.recipient).where(_is(hours, item.hour))
                known = (await connection.execute(query)).one_or_none()
                if known is not None and known.recipient != item.recipient:
                    continue
                ended = {"state": HourState.DELETED, "destroyed_ms": item.destroyed_ms, "policy": item.policy}
                fresh = {**item.hour._asdict(), **ended, "recipient": item.recipient}
                await insert_new(connection, hours, [{**fresh, "segment_ids": "", "segment_count": 0}])
                keys += (await connection.execute(delete(hour_keys).where(_is(hour_keys, item.hour)))).rowcount
                await connection.execute(
                    update(hours).where(_is(hours, item.hour)).values({**ended, "segment_ids": ""})
                )
                gone_state = {"state": SegmentState.DELETED}
                await connection.execute(update(segments).where(_is(segments, item.hour)).values(gone_state))
                gone.add(item.hour)
        await self._erase_journal()
        return gone, keys

    async def announce(self, event: CloudEvent) -> None:
        """State a fact that goes with no other change."""
        async with self._database.transaction() as connection:
            await self._outbox.add(connection, event)

    async def _erase_journal(self) -> None:
        # SQLite overwrites deleted rows in the database file (secure_delete); the write-ahead log still holds the page
        # as it was, until it is moved over and cut off.
        if self._database.engine.dialect.name == "sqlite":
            async with self._database.engine.connect() as connection:
                await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _is(table: Any, hour: CameraHour) -> Any:
    return and_(table.c.controller == hour.controller, table.c.camera == hour.camera, table.c.hour == hour.hour)


def _row(row: Any) -> HourRow:
    return HourRow(
        hour=CameraHour(row.controller, row.camera, row.hour),
        state=HourState(row.state),
        recipient=row.recipient,
        destroyed_ms=row.destroyed_ms or 0,
        policy=row.policy,
        segment_ids=tuple(row.segment_ids.splitlines()),
    )
