"""Grants: asked for within a case, approved by a second person, turned into a token, revoked."""

from dataclasses import replace

from lykta_common.clock import Clock
from lykta_common.ids import new_id
from lykta_contracts.events import ApprovalGiven, GrantIssued
from lykta_contracts.ids import is_slug
from lykta_contracts.roles import Action

from lykta_access_control.access import Access, Attempt, Call
from lykta_access_control.domain import grants as steps
from lykta_access_control.domain.decision import Question
from lykta_access_control.domain.directory import checked_text
from lykta_access_control.domain.grants import Case, Grant, GrantState, Wish
from lykta_access_control.domain.refusal import RefusedError, invalid, not_found
from lykta_access_control.store.change import Change, Reading, Store
from lykta_access_control.tokens import GrantTokens
from lykta_access_control.usecases.cases import revoke


class Grants:
    """The RPCs of GrantService."""

    def __init__(self, access: Access, store: Store, tokens: GrantTokens, clock: Clock) -> None:
        self._access = access
        self._store = store
        self._tokens = tokens
        self._clock = clock

    async def request(self, call: Call, case_id: str, wish: Wish) -> Grant:
        """Ask for a grant for the calling person; every call is another request."""
        async with self._access.attempt(call, Action.GRANT_REQUEST, f"case/{case_id[:64]}") as attempt:
            seen = await self._access.case(case_id)
            await self._access.require(attempt, Question(Action.GRANT_REQUEST, seen.controller), "case")
            async with self._store.change() as change:
                case = await change.grants.case(case_id) or seen
                grant_id = new_id("grt", self._clock)
                grant = steps.request(grant_id, case, attempt.person.person_id, wish, change.now)
                await self._check_reach(change, grant)
                await change.grants.add_grant(grant)
                attempt.details = {"cameras": " ".join(grant.cameras), "actions": " ".join(sorted(grant.actions))}
                await _log(change, attempt, grant, case)
            return grant

    async def approve(self, call: Call, grant_id: str) -> Grant:
        """Issue a requested grant as a second person."""
        async with self._access.attempt(call, Action.GRANT_APPROVE, f"grant/{grant_id[:64]}") as attempt:
            seen = await self._access.grant(grant_id)
            await self._access.require(attempt, Question(Action.GRANT_APPROVE, seen.controller), "grant")
            async with self._store.change() as change:
                old, case = await _both(change, grant_id)
                attempt.grant_id, attempt.case_id = grant_id, old.case_id
                new = steps.approve(old, case, attempt.person.person_id, change.now)
                if new is old:
                    return new
                await change.grants.save_grant(old, new)
                await _state_issue(change, new)
                await _log(change, attempt, new, case)
            return new

    async def token(self, call: Call, grant_id: str) -> tuple[str, Grant]:
        """Return the token of an issued grant, to the person it was issued to and to nobody else."""
        async with self._access.attempt(call, Action.GRANT_TOKEN, f"grant/{grant_id[:64]}") as attempt:
            seen = await self._access.grant(grant_id)
            if seen.person_id != attempt.person.person_id:
                # Members of the controller may know of the grant, but not hold it; for others there is none.
                await self._access.require(attempt, Question(Action.GRANT_TOKEN, seen.controller, own=True), "grant")
                raise RefusedError("GRANT_SCOPE", "the token of a grant goes only to the person it was issued to")
            await self._access.require(attempt, Question(Action.GRANT_TOKEN, seen.controller, own=True), "grant")
            attempt.grant_id, attempt.case_id = grant_id, seen.case_id
            async with self._store.reading() as rows:
                grant, case = await _both(rows, grant_id)
            now = self._store.now()
            if refusal := steps.standing(grant, case.closed_at is None, now):
                raise RefusedError(refusal.reason, refusal.message)
            return self._tokens.issue(grant, case, now), grant

    async def revoke(self, call: Call, grant_id: str, reason: str) -> Grant:
        """End a grant at once; a revoked or expired one stays as it is."""
        async with self._access.attempt(call, Action.GRANT_REVOKE, f"grant/{grant_id[:64]}") as attempt:
            seen = await self._access.grant(grant_id)
            own = seen.person_id == attempt.person.person_id
            await self._access.require(attempt, Question(Action.GRANT_REVOKE, seen.controller, own=own), "grant")
            why = checked_text("reason", reason)
            async with self._store.change() as change:
                old, _ = await _both(change, grant_id)
                return await revoke(change, attempt, old, why)

    async def list(self, call: Call, controller: str) -> list[Grant]:
        """Return the grants of a controller, newest first, each with the state it has now."""
        async with self._access.attempt(call, Action.GRANT_LIST) as attempt:
            await self._access.require(attempt, Question(Action.GRANT_LIST, controller))
            async with self._store.reading() as rows:
                found = await rows.grants.grants(controller)
            return [self.as_now(grant) for grant in found]

    def as_now(self, grant: Grant) -> Grant:
        """Return a grant with expiry shown in its state."""
        state = grant.state_at(self._clock.now())
        return replace(grant, state=state) if state is GrantState.EXPIRED else grant

    async def _check_reach(self, change: Change, grant: Grant) -> None:
        """Refuse what could never be used: cameras that are not there, actions the person's role does not open."""
        for camera in grant.cameras:
            if not is_slug(camera) or await change.directory.camera(grant.controller, camera) is None:
                raise invalid(f"cameras: {camera[:64]!r} does not exist in the case's controller")
        roles = (await self._access.view()).roles(grant.controller, grant.person_id)
        for action in sorted(grant.actions):
            if not self._access.permits(action, roles):
                raise RefusedError("ROLE", f"{action} is not open to your roles, so no grant can give it")


async def _both(rows: Change | Reading, grant_id: str) -> tuple[Grant, Case]:
    grant = await rows.grants.grant(grant_id)
    case = await rows.grants.case(grant.case_id) if grant else None
    if grant is None or case is None:
        raise not_found("the grant")
    return grant, case


async def _state_issue(change: Change, grant: Grant) -> None:
    issued = GrantIssued(
        controller=grant.controller,
        grant_id=grant.grant_id,
        case_id=grant.case_id,
        cameras=grant.cameras,
        expires_at=grant.expires_at or change.now,
    )
    given = ApprovalGiven(
        controller=grant.controller, kind="grant", subject_id=grant.grant_id, approved_by=grant.approved_by
    )
    await change.state(issued, f"grant.issued/{grant.grant_id}")
    await change.state(given, f"approval.given/{grant.grant_id}")


async def _log(change: Change, attempt: Attempt, grant: Grant, case: Case) -> None:
    attempt.target, attempt.grant_id = f"grant/{grant.grant_id}", grant.grant_id
    attempt.case_id, attempt.purpose = case.case_id, case.purpose
    await change.audit(attempt.record(f"{attempt.action}/{grant.grant_id}", change.now))
