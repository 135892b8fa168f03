"""The one decision: may this person do this here and now; for the questions of other services and our own RPCs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lykta_contracts.roles import GRANTED_ACTIONS, Action, Role

from lykta_access_control.domain.grants import Case, Grant, Interval, covers, standing
from lykta_access_control.domain.refusal import Refusal

NO_ROLES: frozenset[Role] = frozenset()


@dataclass(frozen=True)
class Person:
    """Who asks, from a verified token; `operator` is the platform's, who belongs to no controller by that."""

    person_id: str
    name: str = ""
    expires_at: datetime | None = None
    operator: bool = False


@dataclass(frozen=True)
class Question:
    """What is to be done; `own` says that it concerns the person's own grant, `first_admin` an unmanned controller."""

    action: Action
    controller: str
    camera: str = ""
    interval: Interval | None = None
    grant_id: str = ""
    own: bool = False
    first_admin: bool = False


@dataclass(frozen=True)
class Facts:
    """What a role policy may look at besides the action."""

    roles: frozenset[Role]
    operator: bool = False
    own: bool = False
    first_admin: bool = False


@dataclass(frozen=True)
class Decision:
    """The answer; `refusal` is None when it may be done, `valid_until` is when it must be asked again."""

    refusal: Refusal | None
    roles: frozenset[Role] = NO_ROLES
    case_id: str = ""
    purpose: str = ""
    grant_id: str = ""
    valid_until: datetime | None = None

    @property
    def allowed(self) -> bool:
        """True when it may be done."""
        return self.refusal is None


@dataclass
class View:
    """What the decision looks at, by id: members by controller, cameras, cases and grants."""

    members: dict[str, dict[str, frozenset[Role]]] = field(default_factory=dict)
    cameras: set[tuple[str, str]] = field(default_factory=set)
    cases: dict[str, Case] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)

    def roles(self, controller: str, person_id: str) -> frozenset[Role]:
        """Return a person's roles in a controller; none when there is no such controller."""
        return self.members.get(controller, _NOBODY).get(person_id, NO_ROLES)

    def controllers_of(self, person_id: str) -> list[str]:
        """Return the controllers a person belongs to, in order."""
        return sorted(name for name, members in self.members.items() if person_id in members)


Permits = Callable[[Action, Facts], bool]
_NOBODY: Mapping[str, frozenset[Role]] = {}


def decide(view: View, permits: Permits, person: Person, question: Question, now: datetime) -> Decision:
    """Decide one question: membership, then role policy, then camera, then grant. A refusal is an answer."""
    roles = view.roles(question.controller, person.person_id)
    known = question.controller in view.members
    if not known or not (roles or person.operator):
        return Decision(_nothing_there("controller"))
    facts = Facts(roles, person.operator, question.own, question.first_admin)
    if not permits(question.action, facts):
        held = ", ".join(sorted(roles)) or "platform operator"
        message = f"{question.action} is not open to your roles ({held}); ask your administrator for the role it needs"
        return Decision(Refusal("ROLE", message), roles)
    if question.camera and (question.controller, question.camera) not in view.cameras:
        return Decision(_nothing_there("camera"), roles)
    if question.action in GRANTED_ACTIONS:
        return _by_grant(view, person, question, roles, now)
    return Decision(None, roles, valid_until=person.expires_at)


def _by_grant(view: View, person: Person, question: Question, roles: frozenset[Role], now: datetime) -> Decision:
    if not question.grant_id:
        message = "footage needs a grant; open a case, ask for a grant in it and have a second person approve it"
        return Decision(Refusal("NO_GRANT", message), roles)
    grant = view.grants.get(question.grant_id)
    if grant is None or grant.controller != question.controller:
        return Decision(Refusal("NO_GRANT", "there is no such grant here; ask for one within an open case"), roles)
    case = view.cases.get(grant.case_id)
    interval = question.interval or Interval(now, now + timedelta(milliseconds=1))
    mine = grant.person_id == person.person_id
    refusal = standing(grant, case is not None and case.closed_at is None, now) if mine else None
    refusal = refusal or covers(grant, person.person_id, question.action, question.camera, interval)
    if refusal or case is None:
        return Decision(refusal, roles, case_id=grant.case_id if mine else "", grant_id=grant.grant_id)
    ends = [at for at in (grant.expires_at, person.expires_at) if at is not None]
    return Decision(None, roles, case.case_id, case.purpose, grant.grant_id, min(ends, default=None))


def _nothing_there(what: str) -> Refusal:
    return Refusal("NOT_FOUND", f"the {what} was not found; check the id, and that you are a member of its controller")
