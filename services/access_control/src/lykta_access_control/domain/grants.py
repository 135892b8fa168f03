"""Cases and grants: a person's time-limited right to footage within a case, given by a second person."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from lykta_contracts.roles import GRANTED_ACTIONS, Action

from lykta_access_control.domain.refusal import Refusal, RefusedError, invalid, same_person, wrong_state

DEFAULT_VALIDITY: Final = timedelta(hours=8)
LONGEST_VALIDITY: Final = timedelta(days=7)
LONGEST_INTERVAL: Final = timedelta(days=31)
MOST_CAMERAS: Final = 20
"""The token names them all and travels in call metadata, which gRPC bounds at 8 KiB."""


class GrantState(StrEnum):
    """Where a grant stands; expiry is not stored, it follows from `expires_at`."""

    REQUESTED = "requested"
    ISSUED = "issued"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Case:
    """The matter that gives access a purpose."""

    case_id: str
    controller: str
    reference: str
    purpose: str
    opened_by: str
    opened_at: datetime
    closed_at: datetime | None = None
    closed_by: str = ""


@dataclass(frozen=True)
class Interval:
    """Footage time, half-open."""

    from_at: datetime
    to_at: datetime

    def holds(self, other: "Interval") -> bool:
        """Say whether the other interval lies within this one."""
        return self.from_at <= other.from_at and other.to_at <= self.to_at


@dataclass(frozen=True)
class Grant:
    """A person's right to actions on cameras and a footage interval within a case."""

    grant_id: str
    controller: str
    case_id: str
    person_id: str
    cameras: tuple[str, ...]
    actions: frozenset[Action]
    interval: Interval
    state: GrantState
    requested_at: datetime
    validity: timedelta
    approved_by: str = ""
    approved_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_by: str = ""
    revoked_at: datetime | None = None
    revoke_reason: str = ""

    def state_at(self, now: datetime) -> GrantState:
        """Return the state with expiry taken into account."""
        if self.state is GrantState.ISSUED and self.expires_at is not None and now >= self.expires_at:
            return GrantState.EXPIRED
        return self.state


@dataclass(frozen=True)
class Wish:
    """What a person asks a grant for; `valid_seconds` 0 means 8 hours."""

    cameras: tuple[str, ...]
    actions: tuple[str, ...]
    interval: Interval
    valid_seconds: int = 0


def close(case: Case, person: str, now: datetime) -> Case:
    """Close a case; closing a closed one changes nothing."""
    return case if case.closed_at is not None else replace(case, closed_at=now, closed_by=person)


def request(grant_id: str, case: Case, person: str, wish: Wish, now: datetime) -> Grant:
    """Ask for a grant; raises RefusedError CASE_CLOSED, or INVALID_FIELD naming the field that is out of bounds."""
    if case.closed_at is not None:
        raise RefusedError("CASE_CLOSED", "the case is closed; open a new case to ask for footage")
    if not 1 <= len(wish.cameras) <= MOST_CAMERAS or len(set(wish.cameras)) != len(wish.cameras):
        raise invalid(f"cameras: name 1 to {MOST_CAMERAS} cameras, each once")
    validity = timedelta(seconds=wish.valid_seconds) if wish.valid_seconds else DEFAULT_VALIDITY
    if not timedelta(0) < validity <= LONGEST_VALIDITY:
        raise invalid("valid_seconds must lie between 1 and 604800 (7 days); 0 means 8 hours")
    if not timedelta(0) < wish.interval.to_at - wish.interval.from_at <= LONGEST_INTERVAL:
        raise invalid("to must be after from, and at most 31 days after it")
    actions = _granted(wish.actions)
    state = GrantState.REQUESTED
    return Grant(
        grant_id, case.controller, case.case_id, person, wish.cameras, actions, wish.interval, state, now, validity
    )


def approve(grant: Grant, case: Case, person: str, now: datetime) -> Grant:
    """Issue a requested grant as a second person; approving again by the same person changes nothing.

    Raises RefusedError SECOND_PERSON for the one who asked, CASE_CLOSED, or WRONG_STATE.
    """
    if grant.state is GrantState.ISSUED and grant.approved_by == person:
        return grant
    if person == grant.person_id:
        raise same_person("a grant cannot be approved by the person it is for; ask another approver")
    if case.closed_at is not None:
        raise RefusedError("CASE_CLOSED", "the case is closed; open a new case and ask again")
    if grant.state is not GrantState.REQUESTED:
        raise wrong_state(f"the grant is {grant.state_at(now)}; only a requested grant can be approved")
    expires_at = now + grant.validity
    return replace(grant, state=GrantState.ISSUED, approved_by=person, approved_at=now, expires_at=expires_at)


def revoke(grant: Grant, person: str, reason: str, now: datetime) -> Grant:
    """End a grant or withdraw a request; revoking a revoked or expired one changes nothing."""
    if grant.state_at(now) in (GrantState.REVOKED, GrantState.EXPIRED):
        return grant
    return replace(grant, state=GrantState.REVOKED, revoked_by=person, revoked_at=now, revoke_reason=reason)


def standing(grant: Grant, case_open: bool, now: datetime) -> Refusal | None:
    """Say why a grant gives nothing at this instant, whatever it is asked about; None when it is in force."""
    state = grant.state_at(now)
    if state is GrantState.REQUESTED:
        return Refusal("NO_GRANT", "the grant waits for a second person's approval; ask an approver")
    if not case_open:
        return Refusal("CASE_CLOSED", "the case behind the grant is closed; open a new case and ask again")
    if state is GrantState.REVOKED:
        return Refusal("GRANT_REVOKED", "the grant was revoked; ask for a new one within an open case")
    if state is GrantState.EXPIRED:
        return Refusal("GRANT_EXPIRED", "the grant has expired; ask for a new one within an open case")
    return None


def covers(grant: Grant, person: str, action: Action, camera: str, interval: Interval) -> Refusal | None:
    """Say why a grant in force does not cover this; None when it does."""
    if grant.person_id != person:
        return Refusal("GRANT_SCOPE", "the grant is another person's; ask for your own")
    if action not in grant.actions:
        return Refusal("GRANT_SCOPE", f"the grant does not hold {action}; ask for one that does")
    if camera not in grant.cameras:
        return Refusal("GRANT_SCOPE", "the grant does not hold this camera; ask for one that does")
    if not grant.interval.holds(interval):
        span = f"{grant.interval.from_at.isoformat()} to {grant.interval.to_at.isoformat()}"
        return Refusal("GRANT_SCOPE", f"the grant holds footage from {span} only; stay within it or ask for another")
    return None


def _granted(names: tuple[str, ...]) -> frozenset[Action]:
    known = sorted(GRANTED_ACTIONS)
    if not names or not set(names) <= set(known):
        raise invalid(f"actions: name at least one of {', '.join(known)}")
    return frozenset(Action(name) for name in names)
