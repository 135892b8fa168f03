"""Cases: the matters that give access a purpose; closing one revokes what was given in it."""

from dataclasses import replace

from lykta_common.clock import Clock
from lykta_common.ids import new_id
from lykta_contracts.events import CaseClosed, CaseOpened, GrantRevoked
from lykta_contracts.roles import Action

from lykta_access_control.access import Access, Attempt, Call
from lykta_access_control.domain import grants as steps
from lykta_access_control.domain.decision import Question
from lykta_access_control.domain.directory import checked_text
from lykta_access_control.domain.grants import Case, Grant
from lykta_access_control.domain.refusal import not_found
from lykta_access_control.store.change import Change, Store

CLOSED = "case closed"


class Cases:
    """The RPCs of CaseService."""

    def __init__(self, access: Access, store: Store, clock: Clock) -> None:
        self._access = access
        self._store = store
        self._clock = clock

    async def open(self, call: Call, controller: str, reference: str, purpose: str) -> Case:
        """Open a case; every call opens another."""
        async with self._access.attempt(call, Action.CASE_OPEN, "case") as attempt:
            await self._access.require(attempt, Question(Action.CASE_OPEN, controller))
            reference, purpose = checked_text("reference", reference), checked_text("purpose", purpose)
            person = attempt.person.person_id
            async with self._store.change() as change:
                case_id = new_id("case", self._clock)
                case = Case(case_id, controller, reference, purpose, person, change.now)
                await change.grants.add_case(case)
                await change.state(CaseOpened(controller=controller, case_id=case_id), f"case.opened/{case_id}")
                await _log(change, attempt, case)
            return case

    async def close(self, call: Call, case_id: str) -> Case:
        """Close a case and revoke its grants; closing a closed one changes nothing."""
        async with self._access.attempt(call, Action.CASE_CLOSE, f"case/{case_id[:64]}") as attempt:
            seen = await self._access.case(case_id)
            await self._access.require(attempt, Question(Action.CASE_CLOSE, seen.controller), "case")
            async with self._store.change() as change:
                old = await change.grants.case(case_id)
                if old is None:
                    raise not_found("the case")
                new = steps.close(old, attempt.person.person_id, change.now)
                if new is old:
                    return new
                await change.grants.close_case(new)
                for grant in await change.grants.grants_in(case_id):
                    await revoke(change, replace(attempt, action=Action.GRANT_REVOKE), grant, CLOSED)
                await change.state(CaseClosed(controller=new.controller, case_id=case_id), f"case.closed/{case_id}")
                await _log(change, attempt, new)
            return new

    async def list(self, call: Call, controller: str) -> list[Case]:
        """Return the cases of a controller, newest first."""
        async with self._access.attempt(call, Action.CASE_LIST) as attempt:
            await self._access.require(attempt, Question(Action.CASE_LIST, controller))
            async with self._store.reading() as rows:
                return await rows.grants.cases(controller)


async def revoke(change: Change, attempt: Attempt, grant: Grant, reason: str) -> Grant:
    """Revoke a grant within a change, with its fact and its log entry; one that is over already stays as it is."""
    ended = steps.revoke(grant, attempt.person.person_id, reason, change.now)
    if ended is grant:
        return grant
    await change.grants.save_grant(grant, ended)
    fact = GrantRevoked(controller=grant.controller, grant_id=grant.grant_id, reason=reason)
    await change.state(fact, f"grant.revoked/{grant.grant_id}")
    attempt.target, attempt.grant_id, attempt.case_id = f"grant/{grant.grant_id}", grant.grant_id, grant.case_id
    attempt.details = {"reason": reason}
    await change.audit(attempt.record(f"grant.revoke/{grant.grant_id}", change.now))
    return ended


async def _log(change: Change, attempt: Attempt, case: Case) -> None:
    attempt.target, attempt.case_id, attempt.purpose = f"case/{case.case_id}", case.case_id, case.purpose
    attempt.details = {"reference": case.reference}
    await change.audit(attempt.record(f"{attempt.action}/{case.case_id}", change.now))
