"""Reads C2SP signed notes and tlog checkpoints with the verifier key of the log that signed them."""

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = 1
_SIGNATURE_LINE = re.compile(r"— (\S+) (\S+)")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class NoteError(ValueError):
    """A key, note or checkpoint that is malformed or whose signature does not hold."""


def decode_base64(text: str) -> bytes:
    """Decode standard base64 in its only spelling. Raises NoteError."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise NoteError("base64 with stray bits")
    return raw


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public identity of a log: its name, the short id of its key, the Ed25519 key."""

    name: str
    key_id: bytes
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read a `vkey` string, `<name>+<id>+<base64>`. Raises NoteError when it is not one of an Ed25519 key."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3 or not parts[0]:
            raise NoteError("a verifier key has the form name+id+key")
        raw = decode_base64(parts[2])
        if len(raw) != 33 or raw[0] != ED25519:
            raise NoteError("the verifier key is not an Ed25519 key")
        key_id = sha256(parts[0].encode() + b"\n" + raw).digest()[:4]
        if key_id.hex() != parts[1]:
            raise NoteError("the verifier key's id does not belong to its name and key")
        return cls(parts[0], key_id, raw[1:])


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Size and root hash of a log, as signed; `further_signatures` were not checked."""

    origin: str
    size: int
    root: bytes
    further_signatures: int


def open_checkpoint(note: bytes, key: VerifierKey) -> Checkpoint:
    """Check a checkpoint's signature and read it. Raises NoteError with what does not hold."""
    try:
        text = note.decode()
    except UnicodeDecodeError as error:
        raise NoteError(f"byte {error.start} is not UTF-8") from error
    if any(char < " " and char != "\n" for char in text):
        raise NoteError("a control character in the note")
    body, separator, block = text.rpartition("\n\n")
    if not separator or not block.endswith("\n"):
        raise NoteError("not a signed note: no signature block")
    signed = (body + "\n").encode()
    ours, others = 0, 0
    for line in block[:-1].split("\n"):
        name, raw = _signature(line)
        if name == key.name and raw[:4] == key.key_id:
            _check(key, raw[4:], signed)
            ours += 1
        else:
            others += 1
    if ours != 1:
        raise NoteError(f"signed {ours} times by {key.name}, once is right" if ours else f"not signed by {key.name}")
    return _read_body(body, key, others)


def _signature(line: str) -> tuple[str, bytes]:
    """Split a signature line into key name and raw signature with its key id."""
    match = _SIGNATURE_LINE.fullmatch(line)
    if match is None:
        raise NoteError("a malformed signature line")
    raw = decode_base64(match[2])
    if len(raw) < 5:
        raise NoteError("a signature is too short")
    return match[1], raw


def _check(key: VerifierKey, signature: bytes, signed: bytes) -> None:
    """Check one Ed25519 signature."""
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, signed)
    except InvalidSignature as error:
        raise NoteError("the signature does not hold: text or signature was changed") from error


def _read_body(body: str, key: VerifierKey, others: int) -> Checkpoint:
    """Read the signed lines: origin, size, root; extension lines are allowed and ignored (tlog-checkpoint)."""
    lines = body.split("\n")
    if len(lines) < 3 or not _SIZE.fullmatch(lines[1]):
        raise NoteError("the signed note is not a checkpoint")
    if lines[0] != key.name:
        raise NoteError(f"the checkpoint is of another log: {lines[0]}")
    root = decode_base64(lines[2])
    if len(root) != 32:
        raise NoteError("the root hash has the wrong length")
    return Checkpoint(lines[0], int(lines[1]), root, others)
