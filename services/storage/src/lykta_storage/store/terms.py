"""Rows of mandate history: the orders seen, and when versions were approved and ended."""

from typing import Any

from lykta_common.database import Database
from lykta_contracts.instants import to_ms
from lykta_contracts.mandates import MandateDocument, MandateOrder
from sqlalchemy import and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from lykta_storage.domain.terms import Term
from lykta_storage.store.tables import approvals, endings, insert_new, orders, terms


class TermStore:
    """What storage knows of mandates; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def see_order(self, order: MandateOrder) -> bool:
        """Take a verified order in; False when one with a higher serial was seen already (a replay)."""
        place = and_(orders.c.controller == order.controller, orders.c.camera == order.camera)
        async with self._database.transaction() as connection:
            known = await connection.scalar(select(orders.c.serial).where(place))
            if known is not None and known > order.serial:
                return False
            values = {"serial": order.serial, "status": order.status}
            if known is None:
                await insert_new(
                    connection, orders, [{"controller": order.controller, "camera": order.camera, **values}]
                )
            else:
                await connection.execute(update(orders).where(place).values(values))
            await _keep_term(connection, order)
        return True

    async def approved(self, controller: str, mandate_id: str, version: int, at_ms: int) -> None:
        """Remember when a version was approved; the first word counts."""
        row = {"controller": controller, "mandate_id": mandate_id, "version": version, "approved_ms": at_ms}
        async with self._database.transaction() as connection:
            await insert_new(connection, approvals, [row])

    async def ended(self, controller: str, mandate_id: str, at_ms: int) -> None:
        """Remember when a mandate was ended; the first word counts."""
        async with self._database.transaction() as connection:
            row = {"controller": controller, "mandate_id": mandate_id, "ended_ms": at_ms}
            await insert_new(connection, endings, [row])

    async def live_cameras(self) -> list[tuple[str, str]]:
        """Return controller and camera of every live order."""
        query = select(orders.c.controller, orders.c.camera).where(orders.c.status == "live")
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.order_by(orders.c.controller, orders.c.camera))).all()
        return [(row.controller, row.camera) for row in rows]

    async def cameras(self, controller: str) -> list[str]:
        """Return every camera of a controller that ever had an order."""
        query = select(orders.c.camera).where(orders.c.controller == controller).order_by(orders.c.camera)
        async with self._database.reading() as connection:
            return list((await connection.scalars(query)).all())

    async def of_camera(self, controller: str, camera: str) -> list[Term]:
        """Return every term of a camera, in order of their orders."""
        same = and_(
            approvals.c.controller == terms.c.controller,
            approvals.c.mandate_id == terms.c.mandate_id,
            approvals.c.version == terms.c.version,
        )
        over = and_(endings.c.controller == terms.c.controller, endings.c.mandate_id == terms.c.mandate_id)
        joined = terms.outerjoin(approvals, same).outerjoin(endings, over)
        query = (
            select(terms, approvals.c.approved_ms, endings.c.ended_ms.label("closed_ms"))
            .select_from(joined)
            .where(terms.c.controller == controller, terms.c.camera == camera)
            .order_by(terms.c.serial)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [_term(row) for row in rows]


async def _keep_term(connection: AsyncConnection, order: MandateOrder) -> None:
    document, issued = order.mandate, to_ms(order.issued_at)
    camera = and_(terms.c.controller == order.controller, terms.c.camera == order.camera)
    mine = and_(camera, terms.c.mandate_id == document.mandate_id, terms.c.version == document.version)
    live = order.status == "live"
    row = {
        "controller": order.controller,
        "camera": order.camera,
        "mandate_id": document.mandate_id,
        "version": document.version,
        "serial": order.serial,
        "document": document.to_json().decode(),
        "started_ms": issued if live else None,
        "ended_ms": None if live else issued,
    }
    await insert_new(connection, terms, [row])
    if live:
        older = and_(camera, terms.c.serial < order.serial, terms.c.ended_ms.is_(None))
        others = ~and_(terms.c.mandate_id == document.mandate_id, terms.c.version == document.version)
        await connection.execute(update(terms).where(older, others).values(ended_ms=issued))
    else:
        await connection.execute(update(terms).where(mine, terms.c.ended_ms.is_(None)).values(ended_ms=issued))


def _term(row: Any) -> Term:
    document = MandateDocument.from_json(row.document)
    starts = [at for at in (row.approved_ms, row.started_ms) if at is not None]
    started = min(starts, default=to_ms(document.valid_from))
    # A mandate that was ended and approved anew has a later version: the old ending is not its own.
    ends = [at for at in (row.ended_ms, row.closed_ms) if at is not None and at >= started]
    return Term(row.camera, document, started, min(ends, default=None))
