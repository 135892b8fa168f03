"""Grant claims: what they must say, and what they allow."""

from datetime import UTC, datetime, timedelta

import pytest
from lykta_contracts.instants import to_ms
from lykta_storage.domain.grants import ClaimError, Grant, Wanted, read_claims, scope

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


def claims(**changed: object) -> dict[str, object]:
    """Valid claims, with changes; None takes a claim away."""
    stamp = int(NOW.timestamp())
    every: dict[str, object] = {
        "iss": "lykta/access-control",
        "aud": "lykta/storage",
        "sub": "anna",
        "jti": "grt_1",
        "iat": stamp,
        "nbf": stamp,
        "exp": stamp + 60,
        "ctl": "ks",
        "case": "case_1",
        "purpose": "assault",
        "cams": ["torg-1"],
        "from": "2026-11-23T07:00:00.000Z",
        "to": "2026-11-23T07:10:00.000Z",
        "act": ["footage.playback"],
        **changed,
    }
    return {name: value for name, value in every.items() if value is not None}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": "someone"}, "UNAUTHENTICATED"),
        ({"aud": "lykta/ingest"}, "UNAUTHENTICATED"),
        ({"aud": None}, "UNAUTHENTICATED"),
        ({"exp": int(NOW.timestamp())}, "GRANT_EXPIRED"),
        ({"exp": None}, "UNAUTHENTICATED"),
        ({"exp": True}, "UNAUTHENTICATED"),
        ({"nbf": int(NOW.timestamp()) + 600}, "UNAUTHENTICATED"),
        ({"sub": ""}, "UNAUTHENTICATED"),
        ({"cams": "torg-1"}, "UNAUTHENTICATED"),
        ({"from": "yesterday"}, "UNAUTHENTICATED"),
    ],
)
def test_claims_that_allow_nothing_are_refused(changed: dict[str, object], reason: str) -> None:
    """Each wrong or missing claim is refused with its reason."""
    with pytest.raises(ClaimError) as refusal:
        read_claims(claims(**changed), NOW)
    assert refusal.value.reason == reason


def wanted(**changed: object) -> Wanted:
    """What the claims allow exactly, with changes."""
    start = to_ms(NOW - timedelta(hours=1))
    every = {"controller": "ks", "camera": "torg-1", "action": "footage.playback", "span": (start, start + 600_000)}
    return Wanted(**{**every, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [{"controller": "ab"}, {"camera": "torg-2"}, {"action": "footage.live"}, {"span": (0, 1000)}],
)
def test_what_lies_outside_the_grant_is_refused(changed: dict[str, object]) -> None:
    """Another controller, camera, action or time is outside the scope."""
    grant = read_claims(claims(), NOW)
    with pytest.raises(ClaimError) as refusal:
        scope(grant, wanted(**changed))
    assert refusal.value.reason == "GRANT_SCOPE"


def test_a_wider_request_is_cut_to_the_grant() -> None:
    """Of a request that reaches outside the grant the covered part remains."""
    grant: Grant = read_claims(claims(aud=["lykta/storage", "x"]), NOW)
    low, high = grant.footage
    assert scope(grant, wanted(span=(low - 1000, high + 1000))) == (low, high)
    assert scope(grant, wanted(span=(low + 1000, high + 1000))) == (low + 1000, high)
