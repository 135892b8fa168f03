"""Verifier keys and checkpoints are read strictly."""

from typing import Any

import pytest
from lykta_verify.note import NoteError, VerifierKey, open_checkpoint


def test_a_published_verifier_key_is_read() -> None:
    """The example key of Go's note package is read, with its name and id."""
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert (key.name, key.key_id.hex()) == ("PeterNeumann", "c74f20a3")


def test_a_published_note_is_opened_as_far_as_it_is_a_checkpoint() -> None:
    """The example note of Go's note package has a good signature and is refused only for not being a checkpoint."""
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    note = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    with pytest.raises(NoteError, match="not a checkpoint"):
        open_checkpoint(note.encode(), key)
    with pytest.raises(NoteError, match="does not hold"):
        open_checkpoint(note.replace("answer", "Answer").encode(), key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name+c74f20a3",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhpC",
        "PeterNeumann+c74f20a3+!",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX",
    ],
)
def test_a_malformed_verifier_key_is_refused(text: str) -> None:
    """A key that was cut, mistyped or is of another kind is refused."""
    with pytest.raises(NoteError):
        VerifierKey.parse(text)


def test_a_checkpoint_is_opened_by_its_key_only(builders: Any) -> None:
    """The right key opens it; another key and another name do not."""
    note = builders.checkpoint([b"a", b"b"])
    opened = open_checkpoint(note, VerifierKey.parse(builders.vkey()))
    assert (opened.origin, opened.size, opened.further_signatures) == ("log.example/audit", 2, 0)
    for other in (builders.vkey(key=builders.recorder_key), builders.vkey(name="log.example/other")):
        with pytest.raises(NoteError, match="not signed by"):
            open_checkpoint(note, VerifierKey.parse(other))


def test_every_flipped_bit_is_refused(builders: Any) -> None:
    """No bit of a checkpoint can be changed without being noticed."""
    note = builders.checkpoint([b"a", b"b"])
    key = VerifierKey.parse(builders.vkey())
    for position in range(len(note)):
        for bit in range(8):
            changed = bytearray(note)
            changed[position] ^= 1 << bit
            with pytest.raises(NoteError):
                open_checkpoint(bytes(changed), key)


def test_a_witness_s_signature_is_counted_and_not_trusted(builders: Any) -> None:
    """Further signature lines do not hinder and are reported as not checked; a malformed or doubled line is refused."""
    note = builders.checkpoint([b"a"])
    key = VerifierKey.parse(builders.vkey())
    assert open_checkpoint(note + "— witness.example AAAAAAAA\n".encode(), key).further_signatures == 1
    with pytest.raises(NoteError, match="malformed"):
        open_checkpoint(note + b"- witness.example AAAAAAAA\n", key)
    own_line = note.decode().rpartition("\n\n")[2]
    with pytest.raises(NoteError, match="2 times"):
        open_checkpoint(note + own_line.encode(), key)
    with pytest.raises(NoteError, match="too short"):
        open_checkpoint(note + "— witness.example AAA=\n".encode(), key)
