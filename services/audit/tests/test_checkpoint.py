"""Checkpoints are C2SP signed notes that only the log's key can make."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from lykta_audit.checkpoint import Checkpoint, CheckpointSigner, key_id, verifier_key

SIGNER = CheckpointSigner("log.example/audit", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def test_the_specification_s_verifier_key_is_reproduced() -> None:
    """The example key of golang.org/x/mod/sumdb/note (PeterNeumann) has its published name and id."""
    import base64

    key = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
    assert key_id("PeterNeumann", key).hex() == "c74f20a3"
    assert verifier_key("PeterNeumann", key) == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


@given(st.integers(0, 1 << 62), st.binary(min_size=32, max_size=32))
def test_a_signed_checkpoint_opens(size: int, root: bytes) -> None:
    """What was signed is what is read, and signing twice gives the same bytes."""
    note = SIGNER.sign(size, root)
    assert SIGNER.open(note) == Checkpoint("log.example/audit", size, root)
    assert SIGNER.sign(size, root) == note


def test_every_flipped_byte_is_refused() -> None:
    """No byte of a checkpoint can be changed without being noticed."""
    note = SIGNER.sign(12345, bytes(32))
    for position in range(len(note)):
        for change in (0x01, 0x20):
            changed = bytearray(note)
            changed[position] ^= change
            with pytest.raises(ValueError):
                SIGNER.open(bytes(changed))


def test_another_log_s_checkpoint_is_refused() -> None:
    """Neither another key nor another origin passes for this log."""
    other_key = CheckpointSigner("log.example/audit", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    other_name = CheckpointSigner("log.example/other", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    for other in (other_key, other_name):
        with pytest.raises(ValueError, match="not signed by this log"):
            SIGNER.open(other.sign(1, bytes(32)))


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb"])
def test_an_origin_that_cannot_be_a_key_name_is_refused(origin: str) -> None:
    """Origins are names without white space and plus signs."""
    with pytest.raises(ValueError, match="origin"):
        CheckpointSigner(origin, Ed25519PrivateKey.from_private_bytes(bytes(32)))
