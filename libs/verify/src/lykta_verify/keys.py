"""Reads the recorder's public key in the forms people hand over."""

import binascii
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from lykta_verify.note import NoteError, decode_base64


def read_public_key(text: str) -> Ed25519PublicKey:
    """Read an Ed25519 public key: the name of a PEM file, or its 32 bytes in hex or base64.

    Raises NoteError when it is none of them, OSError when the file cannot be read.
    """
    path = Path(text)
    if len(text) < 4096 and path.is_file():
        try:
            key = load_pem_public_key(path.read_bytes())
        except ValueError as error:
            raise NoteError(f"{text} is not a public key in PEM") from error
        if not isinstance(key, Ed25519PublicKey):
            raise NoteError(f"{text} is not an Ed25519 key")
        return key
    try:
        raw = binascii.unhexlify(text) if len(text) == 64 else decode_base64(text)
        return Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError) as error:
        raise NoteError("the recorder key is neither a PEM file nor 32 bytes in hex or base64") from error
