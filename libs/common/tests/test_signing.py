"""Signed values: what was signed is what is opened, and nothing else opens."""

import contextlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from lykta_common.errors import PlatformError
from lykta_common.signing import Signer, Verifier, new_key_pair

SIGNER = Signer("mandates", Ed25519PrivateKey.generate())
TYPE = "application/vnd.lykta.test+json"
ENVELOPE = SIGNER.sign(TYPE, b'{"a":1}')


@given(st.binary(max_size=200))
def test_a_payload_is_opened_as_it_was_signed(payload: bytes) -> None:
    """Any payload survives."""
    assert SIGNER.verifier().open(TYPE, SIGNER.sign(TYPE, payload)) == payload


@given(st.integers(0, len(ENVELOPE) - 1), st.integers(1, 255))
def test_a_changed_byte_never_yields_another_payload(position: int, change: int) -> None:
    """A flipped byte anywhere is refused, unless the envelope still says the very same thing."""
    changed = bytearray(ENVELOPE)
    changed[position] ^= change
    outcome = b""
    with contextlib.suppress(PlatformError):
        outcome = SIGNER.verifier().open(TYPE, bytes(changed))
    assert outcome in (b"", b'{"a":1}')


@pytest.mark.parametrize("rubbish", [b"", b"[]", b"{}", b"null", b'{"payloadType":1}'])
def test_rubbish_is_refused(rubbish: bytes) -> None:
    """What is no envelope is refused with a reason."""
    with pytest.raises(PlatformError, match="DSSE"):
        SIGNER.verifier().open(TYPE, rubbish)


def test_another_type_key_or_no_signature_is_refused() -> None:
    """The type is signed too; an unknown key and an empty list of signatures open nothing."""
    with pytest.raises(PlatformError, match="expected"):
        SIGNER.verifier().open("application/other", ENVELOPE)
    with pytest.raises(PlatformError, match="unknown key"):
        Verifier({}).open(TYPE, ENVELOPE)
    with pytest.raises(PlatformError, match="does not verify"):
        Signer("mandates", Ed25519PrivateKey.generate()).verifier().open(TYPE, ENVELOPE)
    bare = json.loads(ENVELOPE) | {"signatures": []}
    with pytest.raises(PlatformError, match="no signature"):
        SIGNER.verifier().open(TYPE, json.dumps(bare).encode())


def test_key_files_are_private_and_not_replaced(tmp_path: Path) -> None:
    """A key pair is made once, readable by its owner only, and found again under its name."""
    private, public = tmp_path / "seal.pem", tmp_path / "public" / "seal.pub.pem"
    new_key_pair(private, public)
    first = private.read_bytes()
    new_key_pair(private, public)
    assert private.read_bytes() == first
    assert private.stat().st_mode & 0o077 == 0
    signature = Signer.from_file(private).sign_raw(b"x")
    Verifier.from_file(public).verify_raw("seal", signature, b"x")
    Verifier.from_file(public.parent).verify_raw("seal", signature, b"x")


def test_a_missing_or_wrong_key_file_is_named(tmp_path: Path) -> None:
    """The error says which file cannot be used."""
    wrong = tmp_path / "wrong.pub.pem"
    wrong.write_text("no key")
    with pytest.raises(PlatformError, match=r"missing\.pem"):
        Signer.from_file(tmp_path / "missing.pem")
    with pytest.raises(PlatformError, match=r"wrong\.pub\.pem"):
        Verifier.from_file(wrong)
