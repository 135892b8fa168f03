"""The grant token's claims, and what they allow."""

from dataclasses import dataclass
from datetime import datetime

from lykta_contracts.instants import from_wire, to_ms

from lykta_storage.domain.spans import Span

ISSUER = "lykta/access-control"
AUDIENCE = "lykta/storage"
TOKEN_TYPE = "lykta-grant+jwt"  # noqa: S105  a media type, no secret
LEEWAY_SECONDS = 5
"""How far the clocks of issuer and verifier may be apart for `nbf` and `iat`; expiry has none."""


@dataclass(frozen=True)
class Grant:
    """A verified token's content."""

    grant_id: str
    person_id: str
    controller: str
    case_id: str
    purpose: str
    cameras: frozenset[str]
    actions: frozenset[str]
    footage: Span
    expires_at: int


@dataclass(frozen=True)
class Wanted:
    """What a person wants to see."""

    controller: str
    camera: str
    action: str
    span: Span


class ClaimError(ValueError):
    """A token's claims do not allow anything; `reason` is an ErrorReason name."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_claims(claims: dict[str, object], now: datetime) -> Grant:
    """Read the claims of a token whose signature holds (RFC 7519 §4.1); raises ClaimError."""
    if claims.get("iss") != ISSUER:
        raise ClaimError("UNAUTHENTICATED", "the grant token is from another issuer")
    audience = claims.get("aud")
    if AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
        raise ClaimError("UNAUTHENTICATED", "the grant token is for another audience; fetch it anew")
    issued, not_before, expires = (_number(claims, name) for name in ("iat", "nbf", "exp"))
    if expires <= now.timestamp():
        raise ClaimError("GRANT_EXPIRED", "the grant has expired; ask for a new one")
    if max(issued, not_before) > now.timestamp() + LEEWAY_SECONDS:
        raise ClaimError("UNAUTHENTICATED", "the grant token is not valid yet; check the clock")
    try:
        footage = to_ms(from_wire(_text(claims, "from"))), to_ms(from_wire(_text(claims, "to")))
    except ValueError as error:
        raise ClaimError("UNAUTHENTICATED", "the grant token's interval is malformed") from error
    return Grant(
        grant_id=_text(claims, "jti"),
        person_id=_text(claims, "sub"),
        controller=_text(claims, "ctl"),
        case_id=_text(claims, "case"),
        purpose=_text(claims, "purpose"),
        cameras=_names(claims, "cams"),
        actions=_names(claims, "act"),
        footage=footage,
        expires_at=int(expires),
    )


def scope(grant: Grant, wanted: Wanted) -> Span:
    """Return the part of what is wanted that the grant covers; raises ClaimError when it covers nothing."""
    if grant.controller != wanted.controller or wanted.camera not in grant.cameras:
        raise ClaimError("GRANT_SCOPE", "the grant does not cover this camera")
    if wanted.action not in grant.actions:
        raise ClaimError("GRANT_SCOPE", "the grant does not cover this action")
    low, high = max(grant.footage[0], wanted.span[0]), min(grant.footage[1], wanted.span[1])
    if low >= high:
        raise ClaimError("GRANT_SCOPE", "the grant does not cover this time")
    return low, high


def _number(claims: dict[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClaimError("UNAUTHENTICATED", f"the grant token lacks {name}")
    return float(value)


def _text(claims: dict[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise ClaimError("UNAUTHENTICATED", f"the grant token lacks {name}")
    return value


def _names(claims: dict[str, object], name: str) -> frozenset[str]:
    value = claims.get(name)
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ClaimError("UNAUTHENTICATED", f"the grant token lacks {name}")
    return frozenset(value)
