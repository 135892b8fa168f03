"""The way of every question: who asks, what the view and the policies say, and a log entry for every denied attempt."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from lykta_common.clock import Clock
from lykta_common.ids import new_id
from lykta_common.telemetry import traceparent
from lykta_contracts.audit import Actor, AuditRecord, Result
from lykta_contracts.roles import Action, Role

from lykta_access_control.domain.decision import NO_ROLES, Decision, Facts, Permits, Person, Question, View, decide
from lykta_access_control.domain.grants import Case, Grant
from lykta_access_control.domain.refusal import Refusal, RefusedError, not_found
from lykta_access_control.errors import DENIED, platform_error
from lykta_access_control.people import People
from lykta_access_control.store.change import Store

NOBODY = Person("")


@dataclass(frozen=True)
class Call:
    """What the transport knows of a call: the calling workload, and the person's bearer token (empty for none)."""

    workload: str
    bearer: str


@dataclass
class Attempt:
    """One attempt of a person at one action; it fills up with what becomes known, and is logged with that."""

    action: Action
    workload: str
    target: str = ""
    controller: str = ""
    purpose: str = ""
    case_id: str = ""
    grant_id: str = ""
    details: dict[str, str] = field(default_factory=dict)
    person: Person = NOBODY

    def record(self, entry_id: str, at: datetime, result: Result = "done", reason: str = "") -> AuditRecord:
        """Return the log entry; without a verified person the workload is the actor."""
        person_id = self.person.person_id
        trace = traceparent().split("-")
        return AuditRecord(
            entry_id=entry_id,
            occurred_at=at,
            actor=Actor(kind="person", id=person_id) if person_id else Actor(kind="service", id=self.workload),
            controller=self.controller,
            action=self.action,
            object=self.target,
            purpose=self.purpose,
            case_id=self.case_id,
            grant_id=self.grant_id,
            result=result,
            reason=reason,
            details=self.details,
            correlation_id=trace[1] if len(trace) > 1 else "",
        )


class Access:
    """Decides for the platform's questions and for our own RPCs alike."""

    def __init__(self, people: People, store: Store, permits: Permits, clock: Clock) -> None:
        self._people = people
        self._store = store
        self._permits = permits
        self._clock = clock

    @asynccontextmanager
    async def attempt(self, call: Call, action: Action, target: str = "") -> AsyncIterator[Attempt]:
        """Run one attempt of the calling person; a refusal is logged when it is a denial, and told as PlatformError."""
        attempt = Attempt(action, call.workload, target)
        try:
            attempt.person = await self._people.verify(call.bearer)
            yield attempt
        except RefusedError as error:
            await self.denied(attempt, error.refusal)
            raise platform_error(error.refusal) from error

    async def identify(self, call: Call) -> Person:
        """Return the calling person; raises RefusedError UNAUTHENTICATED."""
        return await self._people.verify(call.bearer)

    async def denied(self, attempt: Attempt, refusal: Refusal) -> None:
        """Log a denied attempt, once; what is only a mistake of form or order is not logged."""
        if refusal.reason in DENIED:
            record = attempt.record(new_id("aud", self._clock), self._store.now(), "denied", refusal.reason)
            await self._store.log_only(record)

    async def decide(self, attempt: Attempt, question: Question) -> Decision:
        """Decide one question about the attempt's person; raises UNAVAILABLE when the view cannot be trusted."""
        view = await self._store.projection.view()
        if question.grant_id and question.grant_id not in view.grants:
            # It may have been issued a moment ago by another process.
            await self._store.projection.refresh()
        if question.controller in view.members:
            attempt.controller = question.controller
        decision = decide(view, self._permits, attempt.person, question, self._clock.now())
        attempt.case_id, attempt.purpose = decision.case_id, decision.purpose
        return decision

    async def require(self, attempt: Attempt, question: Question, what: str = "controller") -> None:
        """Raise RefusedError unless it may be done; `what` is what was not found when the controller is not theirs."""
        decision = await self.decide(attempt, question)
        if decision.refusal is None:
            return
        if decision.refusal.reason == "NOT_FOUND" and not question.camera:
            raise not_found(f"the {what}")
        raise RefusedError(decision.refusal.reason, decision.refusal.message)

    async def require_operator(self, attempt: Attempt) -> None:
        """Raise RefusedError ROLE unless the person runs the platform and the policies allow the action."""
        if not self._permits(attempt.action, Facts(NO_ROLES, operator=attempt.person.operator)):
            raise RefusedError("ROLE", f"{attempt.action} is open to the platform's operators only; ask one of them")

    def permits(self, action: Action, roles: frozenset[Role]) -> bool:
        """Say whether roles alone open an action."""
        return self._permits(action, Facts(roles))

    async def view(self) -> View:
        """Return the view; raises UNAVAILABLE when it cannot be trusted."""
        return await self._store.projection.view()

    async def case(self, case_id: str) -> Case:
        """Return a case by id as last seen; raises RefusedError NOT_FOUND."""
        view = await self.view()
        if case_id not in view.cases:
            await self._store.projection.refresh()
        if case_id not in view.cases:
            raise not_found("the case")
        return view.cases[case_id]

    async def grant(self, grant_id: str) -> Grant:
        """Return a grant by id as last seen; raises RefusedError NOT_FOUND."""
        view = await self.view()
        if grant_id not in view.grants:
            await self._store.projection.refresh()
        if grant_id not in view.grants:
            raise not_found("the grant")
        return view.grants[grant_id]

    async def mandate_controller(self, mandate_id: str) -> str:
        """Return the controller of a mandate; raises RefusedError NOT_FOUND."""
        found = await self._store.projection.mandate_controller(mandate_id)
        if found is None:
            raise not_found("the mandate")
        return found
