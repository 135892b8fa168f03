"""The platform's question: may this person do this; a refusal is an answer."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lykta_common.clock import Clock
from lykta_contracts.roles import GRANTED_ACTIONS, Action

from lykta_access_control.access import NOBODY, Access, Attempt, Call
from lykta_access_control.domain.decision import Decision, Person, Question
from lykta_access_control.domain.grants import Interval
from lykta_access_control.domain.refusal import Refusal, RefusedError, invalid
from lykta_access_control.errors import platform_error


@dataclass(frozen=True)
class Asked:
    """A question as it came in; empty strings and None for what it does not name."""

    action: str
    controller: str
    camera: str = ""
    interval: Interval | None = None
    grant_id: str = ""


@dataclass(frozen=True)
class Answer:
    """The decision, and who was asked about."""

    decision: Decision
    person: Person
    controllers: list[str]


class Authorize:
    """Answers `PolicyService.Authorize`; refusals are logged here unless the asking service logs the attempt itself.

    What is allowed is always the asking service's to log.
    """

    def __init__(self, access: Access, clock: Clock, on_answer: Callable[[Decision, float], None]) -> None:
        self._access = access
        self._clock = clock
        self._on_answer = on_answer

    async def authorize(self, call: Call, asked: Asked) -> Answer:
        """Decide; raises PlatformError INVALID_FIELD for a malformed question, UNAVAILABLE when the view is stale."""
        began = self._clock.monotonic()
        answer = await self._answer(call, asked)
        self._on_answer(answer.decision, self._clock.monotonic() - began)
        return answer

    async def _answer(self, call: Call, asked: Asked) -> Answer:
        try:
            question = _question(asked)
        except RefusedError as error:
            raise platform_error(error.refusal) from error
        attempt = Attempt(question.action, call.workload, _target(asked), grant_id=asked.grant_id[:64])
        try:
            attempt.person = await self._access.identify(call)
        except RefusedError as error:
            await self._denied(attempt, error.refusal)
            return Answer(Decision(error.refusal), NOBODY, [])
        decision = await self._access.decide(attempt, question)
        if decision.refusal is not None:
            await self._denied(replace(attempt, details=_details(asked, call)), decision.refusal)
        view = await self._access.view()
        return Answer(decision, attempt.person, view.controllers_of(attempt.person.person_id))

    async def _denied(self, attempt: Attempt, refusal: Refusal) -> None:
        if not is_logged_elsewhere(attempt, refusal):
            await self._access.denied(attempt, refusal)


def is_logged_elsewhere(attempt: Attempt, refusal: Refusal) -> bool:
    """Say whether a refused question is in the log already or is no attempt, so that each attempt is one entry.

    Storage logs every opening of footage with what was wanted, audit every look into the log by a known person;
    the recorder asks about all its controllers to leave out those that are not the person's.
    """
    match attempt.workload:
        case "storage":
            return attempt.action in GRANTED_ACTIONS
        case "audit":
            return attempt.action is Action.AUDIT_SEARCH and refusal.reason != "UNAUTHENTICATED"
        case "ingest":
            return attempt.action is Action.SESSION_LIST and refusal.reason == "NOT_FOUND"
        case _:
            return False


def _question(asked: Asked) -> Question:
    try:
        action = Action(asked.action)
    except ValueError as error:
        raise invalid(f"unknown action {asked.action[:64]!r}; lykta_contracts.roles lists them") from error
    if not asked.controller:
        raise invalid("controller is needed")
    if asked.interval is not None and asked.interval.to_at <= asked.interval.from_at:
        raise invalid("to must be after from")
    if action in GRANTED_ACTIONS and not asked.camera:
        raise invalid(f"{action} is asked about one camera; camera is needed")
    if action is Action.FOOTAGE_PLAYBACK and asked.interval is None:
        raise invalid("footage.playback is asked about an interval; from and to are needed")
    return Question(action, asked.controller, asked.camera, asked.interval, asked.grant_id)


def _target(asked: Asked) -> str:
    kind = "camera" if asked.camera else "controller"
    return "/".join(part[:64] for part in (kind, asked.controller, asked.camera) if part)


def _details(asked: Asked, call: Call) -> dict[str, str]:
    details = {"asked_by": call.workload}
    if asked.interval is not None:
        details |= {"from": asked.interval.from_at.isoformat(), "to": asked.interval.to_at.isoformat()}
    return details
