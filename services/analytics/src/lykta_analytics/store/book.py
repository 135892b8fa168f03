"""The incident book: each incident's latest state, written together with the fact that tells of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from lykta_common.database import Database
from lykta_common.outbox import Outbox
from lykta_contracts.events import CloudEvent
from sqlalchemy import ColumnElement, Row, and_, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from lykta_analytics.store.tables import INCIDENTS

Cursor = tuple[int, str]


@dataclass(frozen=True, slots=True)
class BookRow:
    """One incident; `step` counts its events from 1, `event` is the last of them."""

    incident_id: str
    controller: str
    camera: str
    rule_key: str
    is_open: bool
    step: int
    started_ms: int
    last_seen_ms: int
    confidence: float
    event: CloudEvent


@dataclass(frozen=True, slots=True)
class Filter:
    """Narrows a list; `None` and the empty string mean all. `since_ms` inclusive, `until_ms` exclusive."""

    controller: str
    camera: str = ""
    since_ms: int | None = None
    until_ms: int | None = None


class BookStore:
    """Rows of the incident book; raises `PlatformError` UNAVAILABLE when the database does not answer."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def add(self, row: BookRow, events: Sequence[CloudEvent]) -> bool:
        """Adds an incident and its events in one transaction; False when the camera's rule has an open one already."""
        try:
            async with self._database.transaction() as connection:
                await connection.execute(insert(INCIDENTS).values(_values(row)))
                for event in events:
                    await self._outbox.add(connection, event)
        except IntegrityError:
            return False
        self._outbox.wake()
        return True

    async def change(self, row: BookRow, events: Sequence[CloudEvent]) -> bool:
        """Replaces an open incident by its next step, with the events, in one transaction.

        False, and nothing written, when the incident is closed or another writer took that step.
        """
        async with self._database.transaction() as connection:
            where = and_(
                INCIDENTS.c.incident_id == row.incident_id,
                INCIDENTS.c.step == row.step - 1,
                INCIDENTS.c.is_open.is_(True),
            )
            done = await connection.execute(update(INCIDENTS).where(where).values(_values(row)))
            if done.rowcount != 1:
                return False
            for event in events:
                await self._outbox.add(connection, event)
        self._outbox.wake()
        return True

    async def touch(self, controller: str, camera: str, last_seen_ms: dict[str, int]) -> None:
        """Notes when the causes of open incidents were last seen, by rule; never moves back."""
        async with self._database.transaction() as connection:
            for rule_key, last_ms in last_seen_ms.items():
                where = and_(_open_of(controller, camera, rule_key), INCIDENTS.c.last_seen_ms < last_ms)
                await connection.execute(update(INCIDENTS).where(where).values(last_seen_ms=last_ms))

    async def open_of(self, controller: str = "", camera: str = "") -> list[BookRow]:
        """Open incidents of one camera, or of all."""
        query = select(INCIDENTS).where(INCIDENTS.c.is_open.is_(True))
        if camera:
            query = query.where(INCIDENTS.c.controller == controller, INCIDENTS.c.camera == camera)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [_row(row) for row in rows]

    async def open_one(self, controller: str, camera: str, rule_key: str) -> BookRow | None:
        """The open incident of one rule, or None."""
        async with self._database.reading() as connection:
            row = (await connection.execute(select(INCIDENTS).where(_open_of(controller, camera, rule_key)))).first()
        return _row(row) if row else None

    async def get(self, incident_id: str) -> BookRow | None:
        """One incident, or None."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(INCIDENTS).where(INCIDENTS.c.incident_id == incident_id))
            row = found.first()
        return _row(row) if row else None

    async def page(self, wanted: Filter, size: int, after: Cursor | None) -> list[BookRow]:
        """At most `size` incidents, newest first, beginning behind the cursor (start in ms, id)."""
        columns = INCIDENTS.c
        where = [columns.controller == wanted.controller]
        if wanted.camera:
            where.append(columns.camera == wanted.camera)
        if wanted.since_ms is not None:
            where.append(columns.started_ms >= wanted.since_ms)
        if wanted.until_ms is not None:
            where.append(columns.started_ms < wanted.until_ms)
        if after is not None:
            same = and_(columns.started_ms == after[0], columns.incident_id < after[1])
            where.append(or_(columns.started_ms < after[0], same))
        query = select(INCIDENTS).where(*where).order_by(columns.started_ms.desc(), columns.incident_id.desc())
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.limit(size))).all()
        return [_row(row) for row in rows]


def _open_of(controller: str, camera: str, rule_key: str) -> ColumnElement[bool]:
    return and_(
        INCIDENTS.c.is_open.is_(True),
        INCIDENTS.c.controller == controller,
        INCIDENTS.c.camera == camera,
        INCIDENTS.c.rule_key == rule_key,
    )


def _values(row: BookRow) -> dict[str, object]:
    return {
        "incident_id": row.incident_id,
        "controller": row.controller,
        "camera": row.camera,
        "rule_key": row.rule_key,
        "is_open": row.is_open,
        "step": row.step,
        "started_ms": row.started_ms,
        "last_seen_ms": row.last_seen_ms,
        "confidence": row.confidence,
        "event": row.event.to_json().decode(),
    }


def _row(row: Row[tuple[object, ...]]) -> BookRow:
    values = dict(row._mapping)
    values["event"] = CloudEvent.from_json(str(values["event"]))
    return BookRow(**values)
