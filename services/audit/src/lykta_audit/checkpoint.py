"""C2SP signed notes and tlog checkpoints: the log's signed statement of its size and root.

Sources: https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint.
"""

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM_ED25519 = b"\x01"
_DASH = "— "


def check_origin(origin: str) -> str:
    """Give back a usable origin: not empty, no white space, no plus. Raises ValueError otherwise (signed-note)."""
    if not origin or "+" in origin or any(char.isspace() or ord(char) < 0x20 for char in origin):
        raise ValueError("a log's origin is a non-empty name without white space and plus signs")
    return origin


def key_id(name: str, public_key: bytes) -> bytes:
    """Four bytes that name an Ed25519 key: SHA-256(name, newline, 0x01, key), cut."""
    return sha256(name.encode() + b"\n" + ALGORITHM_ED25519 + public_key).digest()[:4]


def verifier_key(name: str, public_key: bytes) -> str:
    """Write a `vkey`, the string with which clients check this log's notes."""
    encoded = base64.b64encode(ALGORITHM_ED25519 + public_key).decode()
    return f"{check_origin(name)}+{key_id(name, public_key).hex()}+{encoded}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Size and root of the log under its origin; its text form is what is signed."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Three lines: origin, decimal size, base64 root (tlog-checkpoint, no extension lines)."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class CheckpointSigner:
    """Signs checkpoints of one origin with one Ed25519 key."""

    def __init__(self, origin: str, private_key: Ed25519PrivateKey) -> None:
        self.origin = check_origin(origin)
        self._private_key = private_key
        self._public = private_key.public_key().public_bytes_raw()

    @property
    def vkey(self) -> str:
        """Verifier key string of this log."""
        return verifier_key(self.origin, self._public)

    def sign(self, size: int, root: bytes) -> bytes:
        """Give the signed note for this size and root. Deterministic, as Ed25519 is."""
        text = Checkpoint(self.origin, size, root).text()
        signature = key_id(self.origin, self._public) + self._private_key.sign(text.encode())
        return f"{text}\n{_DASH}{self.origin} {base64.b64encode(signature).decode()}\n".encode()

    def open(self, note: bytes) -> Checkpoint:
        """Read a note signed by this key. Raises ValueError when its form or signature does not hold."""
        text, separator, signatures = note.decode().rpartition("\n\n")
        if not separator or not signatures.endswith("\n"):
            raise ValueError("not a signed note")
        body = text + "\n"
        wanted = key_id(self.origin, self._public)
        public_key = Ed25519PublicKey.from_public_bytes(self._public)
        for line in signatures.splitlines():
            name, _, encoded = line.removeprefix(_DASH).partition(" ")
            try:
                raw = base64.b64decode(encoded, validate=True)
                if name == self.origin and raw[:4] == wanted:
                    public_key.verify(raw[4:], body.encode())
                    return _parse(body, self.origin)
            except (binascii.Error, InvalidSignature) as error:
                raise ValueError("the checkpoint's signature does not hold") from error
        raise ValueError("the checkpoint is not signed by this log's key")


def _parse(body: str, origin: str) -> Checkpoint:
    """Read the three lines of a checkpoint whose signature holds."""
    lines = body.split("\n")
    if len(lines) < 4 or lines[0] != origin or not lines[1].isascii() or not lines[1].isdigit():
        raise ValueError("the signed note is not a checkpoint of this log")
    return Checkpoint(origin, int(lines[1]), base64.b64decode(lines[2], validate=True))
