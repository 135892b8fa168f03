"""The view the decision looks at: rows kept in memory, followed by revision, never trusted when stale."""

import asyncio
import json
from typing import Any, Final

from lykta_common.clock import Clock
from lykta_common.database import Database
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_contracts.roles import Role
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from lykta_access_control.domain.decision import View
from lykta_access_control.store import tables as t
from lykta_access_control.store.grant_rows import case_of, grant_of

log = get_logger(__name__)

FOLLOW_SECONDS: Final = 0.1
"""How often changes of other processes are looked for; a revocation made elsewhere counts after this long."""
STALE_SECONDS: Final = 2.0
"""A view that could not be followed for this long answers nothing (viewing fails closed)."""


class Projection:
    """A view of the database by revision: changes take turns, so rows above a revision are all that is new."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._view = View()
        self._mandates: dict[str, str] = {}
        self._revision = -1
        self._followed_at = float("-inf")
        self._turn = asyncio.Lock()

    async def view(self) -> View:
        """Return the view, brought up to date first when it is stale; raises UNAVAILABLE when that fails."""
        if self._clock.monotonic() - self._followed_at > STALE_SECONDS:
            await self.refresh()
        return self._view

    async def mandate_controller(self, mandate_id: str) -> str | None:
        """Return the controller of a mandate; None when there is none."""
        if mandate_id not in self._mandates:
            await self.refresh()
        return self._mandates.get(mandate_id)

    async def refresh(self) -> None:
        """Take over every change made so far; raises UNAVAILABLE when the database does not answer."""
        async with self._turn:
            started = self._clock.monotonic()
            async with self._database.reading() as connection:
                newest = (await connection.execute(select(t.revisions.c.value))).scalar_one()
                if newest != self._revision:
                    # Read after the counter: a row of a later change may come along, and comes again next time.
                    await self._take(connection)
            self._revision = newest
            self._followed_at = started

    def distrust(self) -> None:
        """Treat the view as stale from now on, until it has been refreshed."""
        self._followed_at = float("-inf")

    async def follow(self) -> None:
        """Refresh at an interval until cancelled; a database that does not answer is waited for."""
        while True:
            await self._clock.sleep(FOLLOW_SECONDS)
            try:
                await self.refresh()
            except PlatformError as error:
                log.warning("view_not_followed", reason=error.reason)
                await self._clock.sleep(STALE_SECONDS)

    async def ping(self) -> None:
        """Health check: raises when the view cannot be brought up to date."""
        await self.view()

    async def _take(self, connection: AsyncConnection) -> None:
        view = self._view
        for row in await self._new(connection, t.controllers):
            view.members.setdefault(row.controller, {})
        for row in await self._new(connection, t.members):
            members = view.members.setdefault(row.controller, {})
            members.pop(row.person_id, None)
            if roles := frozenset(Role(name) for name in json.loads(row.roles)):
                members[row.person_id] = roles
        for row in await self._new(connection, t.cameras):
            view.cameras.add((row.controller, row.camera))
        for row in await self._new(connection, t.mandates):
            self._mandates[row.mandate_id] = row.controller
        for row in await self._new(connection, t.cases):
            view.cases[row.case_id] = case_of(row)
        for row in await self._new(connection, t.grants):
            view.grants[row.grant_id] = grant_of(row)

    async def _new(self, connection: AsyncConnection, table: Any) -> Any:
        query = select(table).where(table.c.revision > self._revision).order_by(table.c.revision)
        return (await connection.execute(query)).all()
