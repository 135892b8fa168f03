"""Rows of mandates, and of the newest signed order of each camera."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from lykta_contracts.instants import from_ms, to_ms
from lykta_contracts.mandates import MandateDocument
from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from lykta_access_control.domain.mandates import Mandate, MandateState
from lykta_access_control.domain.refusal import wrong_state
from lykta_access_control.store import tables as t

LIST_LIMIT = 1000
"""A list answers with the newest this many."""


@dataclass(frozen=True)
class OrderRow:
    """The newest signed order of one camera, as it goes to the recorders."""

    controller: str
    camera: str
    serial: int
    status: Literal["live", "ended"]
    mandate_id: str
    envelope: bytes


class MandateRows:
    """Mandates and orders within one connection; what is written carries the change's revision."""

    def __init__(self, connection: AsyncConnection, revision: int = 0) -> None:
        self._connection = connection
        self._revision = revision

    async def versions(self, mandate_id: str) -> list[Mandate]:
        """Return every version of a mandate, the newest first."""
        query = select(t.mandates).where(t.mandates.c.mandate_id == mandate_id).order_by(t.mandates.c.version.desc())
        return [_mandate(row) for row in await self._all(query)]

    async def of(self, controller: str) -> list[Mandate]:
        """Return the newest mandates of a controller, every version of each, newest first."""
        query = (
            select(t.mandates)
            .where(t.mandates.c.controller == controller)
            .order_by(t.mandates.c.mandate_id.desc(), t.mandates.c.version.desc())
            .limit(LIST_LIMIT)
        )
        return [_mandate(row) for row in await self._all(query)]

    async def states(self) -> dict[tuple[str, str], int]:
        """Count versions by controller and state."""
        columns = (t.mandates.c.controller, t.mandates.c.state)
        rows = await self._all(select(*columns, func.count().label("versions")).group_by(*columns))
        return {(row.controller, row.state): row.versions for row in rows}

    async def in_force(self) -> list[tuple[MandateDocument, int]]:
        """Return each approved version that live orders name, with how many cameras it has."""
        table, orders = t.mandates, t.orders
        named = and_(orders.c.mandate_id == table.c.mandate_id, orders.c.status == "live")
        query = (
            select(table.c.document, func.count().label("cameras"))
            .select_from(table.join(orders, named))
            .where(table.c.state == MandateState.APPROVED)
            .group_by(table.c.mandate_id, table.c.version, table.c.document)
        )
        return [(MandateDocument.from_json(row.document), row.cameras) for row in await self._all(query)]

    async def add(self, mandate: Mandate) -> None:
        """Write a new version."""
        await self._connection.execute(insert(t.mandates).values(**_values(mandate), revision=self._revision))

    async def save(self, old: Mandate, new: Mandate) -> None:
        """Write a step of a version; raises RefusedError WRONG_STATE when it is no longer where the step began."""
        done = await self._connection.execute(
            update(t.mandates)
            .where(
                t.mandates.c.mandate_id == old.mandate_id,
                t.mandates.c.version == old.version,
                t.mandates.c.state == old.state,
                t.mandates.c.drafts == old.drafts,
            )
            .values(**_values(new), revision=self._revision)
        )
        if done.rowcount != 1:
            raise wrong_state("the mandate was changed by another person at the same time; look at it again")

    async def order(self, controller: str, camera: str) -> OrderRow | None:
        """Return the newest order of a camera."""
        query = select(t.orders).where(t.orders.c.controller == controller, t.orders.c.camera == camera)
        rows = await self._all(query)
        return _order(rows[0]) if rows else None

    async def put_order(self, order: OrderRow) -> None:
        """Write a camera's newest order; it waits to be published."""
        values = {
            "serial": order.serial,
            "status": order.status,
            "mandate_id": order.mandate_id,
            "envelope": order.envelope,
            "published": False,
        }
        mine = (t.orders.c.controller == order.controller, t.orders.c.camera == order.camera)
        done = await self._connection.execute(update(t.orders).where(*mine).values(**values))
        if done.rowcount == 0:
            await self._connection.execute(
                insert(t.orders).values(controller=order.controller, camera=order.camera, **values)
            )

    async def orders(self, *, waiting_only: bool) -> list[OrderRow]:
        """Return the orders of all cameras, or those the bucket does not have yet."""
        query = select(t.orders).order_by(t.orders.c.controller, t.orders.c.camera)
        if waiting_only:
            query = query.where(t.orders.c.published.is_(False))
        return [_order(row) for row in await self._all(query)]

    async def mark_published(self, order: OrderRow) -> None:
        """Say that the bucket has this order; a newer one keeps waiting."""
        await self._connection.execute(
            update(t.orders)
            .where(
                t.orders.c.controller == order.controller,
                t.orders.c.camera == order.camera,
                t.orders.c.serial == order.serial,
            )
            .values(published=True)
        )

    async def _all(self, query: Any) -> Sequence[Any]:
        return (await self._connection.execute(query)).all()


def _values(mandate: Mandate) -> dict[str, Any]:
    return {
        "mandate_id": mandate.mandate_id,
        "version": mandate.version,
        "controller": mandate.controller,
        "state": mandate.state.value,
        "document": mandate.document.to_json().decode(),
        "drafted_by": mandate.drafted_by,
        "authors": json.dumps(sorted(mandate.authors)),
        "drafts": mandate.drafts,
        "proposed_by": mandate.proposed_by,
        "approved_by": mandate.approved_by,
        "approved_at": _ms(mandate.approved_at),
        "ended_by": mandate.ended_by,
        "ended_at": _ms(mandate.ended_at),
        "end_reason": mandate.end_reason,
    }


def _mandate(row: Any) -> Mandate:
    return Mandate(
        row.mandate_id,
        row.version,
        row.controller,
        MandateState(row.state),
        MandateDocument.from_json(row.document),
        row.drafted_by,
        frozenset(json.loads(row.authors)),
        drafts=row.drafts,
        proposed_by=row.proposed_by,
        approved_by=row.approved_by,
        approved_at=_at(row.approved_at),
        ended_by=row.ended_by,
        ended_at=_at(row.ended_at),
        end_reason=row.end_reason,
    )


def _order(row: Any) -> OrderRow:
    return OrderRow(row.controller, row.camera, row.serial, row.status, row.mandate_id, row.envelope)


def _ms(instant: datetime | None) -> int | None:
    return None if instant is None else to_ms(instant)


def _at(unix_ms: int | None) -> datetime | None:
    return None if unix_ms is None else from_ms(unix_ms)
