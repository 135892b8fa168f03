"""Grant tokens: exactly the claims of the wire page, verifiable with the public key alone."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from lykta_access_control.domain import grants
from lykta_access_control.domain.grants import Case, Grant, Interval, Wish
from lykta_access_control.domain.refusal import RefusedError
from lykta_access_control.tokens import GrantTokens
from lykta_common.signing import Signer

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CASE = Case("case_1", "ks", "K-1", "assault", "ada", NOW)


def requested() -> Grant:
    """Make a requested grant."""
    interval = Interval(NOW - timedelta(hours=2), NOW - timedelta(hours=1))
    wish = Wish(("torget-2", "torget-1"), ("footage.playback", "footage.live"), interval)
    return grants.request("grt_1", CASE, "ada", wish, NOW)


def parts(token: str) -> list[Any]:
    """Decode header and claims without looking at the signature."""
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


def test_the_token_is_what_the_wire_page_says() -> None:
    """Header and claims have exactly the agreed names, kinds and values."""
    signer = Signer("grant", Ed25519PrivateKey.generate())
    issued = grants.approve(requested(), CASE, "bea", NOW)
    token = GrantTokens(signer).issue(issued, CASE, NOW + timedelta(minutes=1))
    header, claims = parts(token)
    assert header == {"alg": "EdDSA", "typ": "lykta-grant+jwt", "kid": "grant"}
    start = int(NOW.timestamp())
    assert claims == {
        "iss": "lykta/access-control",
        "aud": "lykta/storage",
        "sub": "ada",
        "jti": "grt_1",
        "iat": start + 60,
        "nbf": start,
        "exp": start + 8 * 3600,
        "ctl": "ks",
        "case": "case_1",
        "purpose": "assault",
        "cams": ["torget-2", "torget-1"],
        "from": "2026-06-01T10:00:00.000Z",
        "to": "2026-06-01T11:00:00.000Z",
        "act": ["footage.live", "footage.playback"],
    }
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    signer.private_key.public_key().verify(raw, signed.encode())
    with pytest.raises(InvalidSignature):
        signer.private_key.public_key().verify(raw, signed.encode() + b"x")


def test_a_grant_that_was_not_issued_has_no_token() -> None:
    """A request is not a right."""
    with pytest.raises(RefusedError, match="not issued"):
        GrantTokens(Signer("grant", Ed25519PrivateKey.generate())).issue(requested(), CASE, NOW)
