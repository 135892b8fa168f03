"""Rows of cases and grants."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from lykta_contracts.instants import from_ms, to_ms
from lykta_contracts.roles import Action
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from lykta_access_control.domain.grants import Case, Grant, GrantState, Interval
from lykta_access_control.domain.refusal import wrong_state
from lykta_access_control.store import tables as t
from lykta_access_control.store.mandate_rows import LIST_LIMIT


class GrantRows:
    """Cases and grants within one connection; what is written carries the change's revision."""

    def __init__(self, connection: AsyncConnection, revision: int = 0) -> None:
        self._connection = connection
        self._revision = revision

    async def case(self, case_id: str) -> Case | None:
        """Return a case by its id."""
        rows = await self._all(select(t.cases).where(t.cases.c.case_id == case_id))
        return case_of(rows[0]) if rows else None

    async def cases(self, controller: str) -> list[Case]:
        """Return the newest cases of a controller, newest first."""
        query = select(t.cases).where(t.cases.c.controller == controller)
        rows = await self._all(query.order_by(t.cases.c.case_id.desc()).limit(LIST_LIMIT))
        return [case_of(row) for row in rows]

    async def add_case(self, case: Case) -> None:
        """Write a new case."""
        await self._connection.execute(
            insert(t.cases).values(
                case_id=case.case_id,
                controller=case.controller,
                reference=case.reference,
                purpose=case.purpose,
                opened_by=case.opened_by,
                opened_at=to_ms(case.opened_at),
                closed_by=case.closed_by,
                closed_at=_ms(case.closed_at),
                revision=self._revision,
            )
        )

    async def close_case(self, case: Case) -> None:
        """Write that a case is closed."""
        values = {"closed_by": case.closed_by, "closed_at": _ms(case.closed_at), "revision": self._revision}
        await self._connection.execute(update(t.cases).where(t.cases.c.case_id == case.case_id).values(**values))

    async def grant(self, grant_id: str) -> Grant | None:
        """Return a grant by its id."""
        rows = await self._all(select(t.grants).where(t.grants.c.grant_id == grant_id))
        return grant_of(rows[0]) if rows else None

    async def grants(self, controller: str) -> list[Grant]:
        """Return the newest grants of a controller, newest first."""
        query = select(t.grants).where(t.grants.c.controller == controller)
        rows = await self._all(query.order_by(t.grants.c.grant_id.desc()).limit(LIST_LIMIT))
        return [grant_of(row) for row in rows]

    async def grants_in(self, case_id: str) -> list[Grant]:
        """Return every grant of a case, oldest first."""
        query = select(t.grants).where(t.grants.c.case_id == case_id).order_by(t.grants.c.grant_id)
        return [grant_of(row) for row in await self._all(query)]

    async def add_grant(self, grant: Grant) -> None:
        """Write a new grant."""
        await self._connection.execute(insert(t.grants).values(**_values(grant), revision=self._revision))

    async def save_grant(self, old: Grant, new: Grant) -> None:
        """Write a step of a grant; raises RefusedError WRONG_STATE when it is no longer where the step began."""
        done = await self._connection.execute(
            update(t.grants)
            .where(t.grants.c.grant_id == old.grant_id, t.grants.c.state == old.state)
            .values(**_values(new), revision=self._revision)
        )
        if done.rowcount != 1:
            raise wrong_state("the grant was changed by another person at the same time; look at it again")

    async def _all(self, query: Any) -> Sequence[Any]:
        return (await self._connection.execute(query)).all()


def case_of(row: Any) -> Case:
    """Read a row of `cases`."""
    return Case(
        row.case_id,
        row.controller,
        row.reference,
        row.purpose,
        row.opened_by,
        from_ms(row.opened_at),
        _at(row.closed_at),
        row.closed_by,
    )


def grant_of(row: Any) -> Grant:
    """Read a row of `grants`."""
    return Grant(
        row.grant_id,
        row.controller,
        row.case_id,
        row.person_id,
        tuple(json.loads(row.cameras)),
        frozenset(Action(name) for name in json.loads(row.actions)),
        Interval(from_ms(row.from_at), from_ms(row.to_at)),
        GrantState(row.state),
        from_ms(row.requested_at),
        timedelta(milliseconds=row.valid_ms),
        approved_by=row.approved_by,
        approved_at=_at(row.approved_at),
        expires_at=_at(row.expires_at),
        revoked_by=row.revoked_by,
        revoked_at=_at(row.revoked_at),
        revoke_reason=row.revoke_reason,
    )


def _values(grant: Grant) -> dict[str, Any]:
    return {
        "grant_id": grant.grant_id,
        "controller": grant.controller,
        "case_id": grant.case_id,
        "person_id": grant.person_id,
        "cameras": json.dumps(grant.cameras),
        "actions": json.dumps(sorted(grant.actions)),
        "from_at": to_ms(grant.interval.from_at),
        "to_at": to_ms(grant.interval.to_at),
        "state": grant.state.value,
        "requested_at": to_ms(grant.requested_at),
        "valid_ms": grant.validity // timedelta(milliseconds=1),
        "approved_by": grant.approved_by,
        "approved_at": _ms(grant.approved_at),
        "expires_at": _ms(grant.expires_at),
        "revoked_by": grant.revoked_by,
        "revoked_at": _ms(grant.revoked_at),
        "revoke_reason": grant.revoke_reason,
    }


def _ms(instant: datetime | None) -> int | None:
    return None if instant is None else to_ms(instant)


def _at(unix_ms: int | None) -> datetime | None:
    return None if unix_ms is None else from_ms(unix_ms)
