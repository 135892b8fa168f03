"""Lets a reader in: grant token, access-control, then the audit entry, in this order; a refusal is audited too."""

from dataclasses import dataclass, field
from typing import Final

from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError, invalid, not_found
from lykta_common.ids import new_id
from lykta_common.telemetry import traceparent
from lykta_contracts.audit import Actor, AuditRecord, Result
from lykta_contracts.ids import is_slug
from lykta_contracts.instants import from_ms, to_wire

from lykta_storage.audit_trail import AuditTrail
from lykta_storage.domain.footage import HOUR_MS
from lykta_storage.domain.grants import ClaimError, Grant, Wanted, scope
from lykta_storage.domain.spans import Span
from lykta_storage.grant_token import GrantTokens
from lykta_storage.ports import Ask, Decision, PolicyAuthority

LONGEST_READ_MS: Final = 24 * HOUR_MS
AUTHORIZE_SECONDS: Final = 5.0
OPENED: Final = "footage.playback.opened"
_CODES: Final = {"NOT_FOUND": Code.NOT_FOUND, "UNAUTHENTICATED": Code.UNAUTHENTICATED}


@dataclass(frozen=True)
class Caller:
    """Who calls: the person's bearer token, the grant token (each may be empty), and the workload in between."""

    bearer: str
    token: str
    workload: str


@dataclass(frozen=True)
class Admitted:
    """A reader who was let in; `granted` is the part of what is wanted that the grant covers."""

    wanted: Wanted
    granted: Span
    grant: Grant
    caller: Caller
    playback_id: str

    def ask(self) -> Ask:
        """Return the question that is asked again while the footage is shown."""
        return Ask(self.wanted.action, self.wanted.controller, self.wanted.camera, self.granted, self.grant.grant_id)


@dataclass
class _Attempt:
    """What is known of an attempt so far, for its audit entry."""

    caller: Caller
    wanted: Wanted
    playback_id: str
    person_id: str = ""
    grant: Grant | None = None
    granted: Span = field(init=False)

    def __post_init__(self) -> None:
        self.granted = self.wanted.span


class Admission:
    """The door to footage."""

    def __init__(self, tokens: GrantTokens, authority: PolicyAuthority, trail: AuditTrail, clock: Clock) -> None:
        self._tokens = tokens
        self._authority = authority
        self._trail = trail
        self._clock = clock

    async def admit(self, caller: Caller, wanted: Wanted) -> Admitted:
        """Let a reader in, with the opening entry durable in the log.

        Raises PlatformError NO_GRANT, GRANT_SCOPE, GRANT_EXPIRED and others (PERMISSION_DENIED), NOT_FOUND for
        another controller's camera, AUDIT_UNAVAILABLE when the log has no receipt for the entry.
        """
        check_wanted(wanted)
        attempt = _Attempt(caller, wanted, new_id("play", self._clock))
        try:
            grant = await self._decide(attempt)
            await self._trail.must(self._opened(attempt, "allowed"))
        except PlatformError as error:
            await self._trail.note(self._opened(attempt, "denied", error.reason))
            raise
        return Admitted(wanted, attempt.granted, grant, caller, attempt.playback_id)

    async def _decide(self, attempt: _Attempt) -> Grant:
        if not attempt.caller.bearer:
            raise PlatformError(Code.UNAUTHENTICATED, "UNAUTHENTICATED", "no person's token was sent; log in first")
        refusal = self._read_token(attempt)
        wanted, grant = attempt.wanted, attempt.grant
        grant_id = "" if grant is None or refusal is not None else grant.grant_id
        # A reader without a usable token is asked about all the same: whoever is a stranger to the controller must not
        # learn whether the camera exists, and the log names the person who tried.
        ask = Ask(wanted.action, wanted.controller, wanted.camera, attempt.granted, grant_id)
        decision = await self._authority.authorize(ask, attempt.caller.bearer, AUTHORIZE_SECONDS)
        attempt.person_id = decision.person_id
        if decision.reason in _CODES and not decision.allowed:
            raise refused(decision, wanted.camera)
        if refusal is not None or grant is None:
            raise refusal or _no_grant()
        if not decision.allowed:
            raise refused(decision, wanted.camera)
        if decision.person_id != grant.person_id:
            raise PlatformError(Code.PERMISSION_DENIED, "GRANT_SCOPE", "the grant was issued to another person")
        return grant

    def _read_token(self, attempt: _Attempt) -> PlatformError | None:
        if not attempt.caller.token:
            return _no_grant()
        try:
            attempt.grant = self._tokens.read(attempt.caller.token)
            attempt.granted = scope(attempt.grant, attempt.wanted)
        except ClaimError as error:
            return PlatformError(Code.PERMISSION_DENIED, error.reason, str(error))
        return None

    def _opened(self, attempt: _Attempt, result: Result, reason: str = "") -> AuditRecord:
        grant, wanted = attempt.grant, attempt.wanted
        return AuditRecord(
            entry_id=f"{OPENED}/{attempt.playback_id}/{result}",
            occurred_at=self._clock.now(),
            actor=person(attempt.person_id, attempt.caller.workload),
            controller=wanted.controller,
            action=OPENED,
            object=f"camera/{wanted.camera}",
            purpose=grant.purpose if grant else "",
            case_id=grant.case_id if grant else "",
            grant_id=grant.grant_id if grant else "",
            result=result,
            reason=reason,
            details={
                "playback_id": attempt.playback_id,
                "from": to_wire(from_ms(attempt.granted[0])),
                "to": to_wire(from_ms(attempt.granted[1])),
                "workload": attempt.caller.workload,
            },
            correlation_id=trace_id(),
        )


def check_wanted(wanted: Wanted) -> None:
    """Check a request's shape; raises PlatformError INVALID_FIELD, or NOT_FOUND for what cannot be a camera."""
    if not (is_slug(wanted.controller) and is_slug(wanted.camera)):
        raise not_found(f"camera {wanted.camera!r}")
    low, high = wanted.span
    if low >= high:
        raise invalid("from must be before to")
    if high - low > LONGEST_READ_MS:
        raise invalid("at most 24 hours can be read at once; ask for less")


def refused(decision: Decision, camera: str) -> PlatformError:
    """Turn access-control's refusal into an error; another controller's camera is not found."""
    if decision.reason == "NOT_FOUND":
        return not_found(f"camera {camera!r}")
    code = _CODES.get(decision.reason, Code.PERMISSION_DENIED)
    return PlatformError(code, decision.reason or "ROLE", decision.message or "access-control refused it")


def person(person_id: str, workload: str) -> Actor:
    """Name the actor: the person, or the workload where the person is not known."""
    return Actor(kind="person", id=person_id) if person_id else Actor(kind="service", id=workload or "unknown")


def trace_id() -> str:
    """Return the trace that an audit entry belongs to; empty when there is none."""
    parts = traceparent().split("-")
    return parts[1] if len(parts) == 4 else ""


def _no_grant() -> PlatformError:
    message = "footage needs a grant: open a case, request a grant, and send its token as lykta-grant"
    return PlatformError(Code.PERMISSION_DENIED, "NO_GRANT", message)
