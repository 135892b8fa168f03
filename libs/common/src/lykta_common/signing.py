"""Signed values: Ed25519 in DSSE envelopes (secure-systems-lab/dsse v1), and raw signatures."""

import base64
import binascii
import json
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lykta_common.errors import Code, PlatformError, invalid


class Signer:
    """Signs with one Ed25519 key; `key_id` names it to verifiers."""

    def __init__(self, key_id: str, key: Ed25519PrivateKey) -> None:
        self.key_id = key_id
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> "Signer":
        """Load a PKCS #8 PEM file; the key id is the file's stem. Raises PlatformError that names the file."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise invalid(f"cannot read the signing key {path}: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise invalid(f"the signing key {path} is not an Ed25519 key")
        return cls(path.stem, key)

    def verifier(self) -> "Verifier":
        """Return the public half."""
        return Verifier({self.key_id: self._key.public_key()})

    def sign_raw(self, message: bytes) -> bytes:
        """Return the 64-byte signature of a message."""
        return self._key.sign(message)

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """Return a DSSE envelope (JSON) around the payload."""
        envelope = {
            "payloadType": payload_type,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [
                {"keyid": self.key_id, "sig": base64.b64encode(self.sign_raw(_pae(payload_type, payload))).decode()}
            ],
        }
        return json.dumps(envelope, separators=(",", ":")).encode()

    @property
    def private_key(self) -> Ed25519PrivateKey:
        """The key itself, for libraries that sign in formats of their own."""
        return self._key


class Verifier:
    """Verifies with a set of Ed25519 public keys by key id."""

    def __init__(self, keys: dict[str, Ed25519PublicKey]) -> None:
        self.keys = keys

    @classmethod
    def from_file(cls, path: Path) -> "Verifier":
        """Load a PEM public key; a directory loads every `*.pub.pem` in it. Key id = stem without `.pub`."""
        files = sorted(path.glob("*.pub.pem")) if path.is_dir() else [path]
        keys: dict[str, Ed25519PublicKey] = {}
        for file in files:
            try:
                key = serialization.load_pem_public_key(file.read_bytes())
            except (OSError, ValueError) as error:
                raise invalid(f"cannot read the public key {file}: {error}") from error
            if not isinstance(key, Ed25519PublicKey):
                raise invalid(f"the public key {file} is not an Ed25519 key")
            keys[file.name.removesuffix(".pem").removesuffix(".pub")] = key
        if not keys:
            raise invalid(f"no public key (*.pub.pem) in {path}")
        return cls(keys)

    def verify_raw(self, key_id: str, signature: bytes, message: bytes) -> None:
        """Check a raw signature; raises PlatformError BAD_SIGNATURE."""
        key = self.keys.get(key_id)
        if key is None:
            raise _bad(f"signed by the unknown key {key_id!r}")
        try:
            key.verify(signature, message)
        except InvalidSignature as error:
            raise _bad(f"the signature of key {key_id!r} does not verify") from error

    def open(self, payload_type: str, envelope: bytes) -> bytes:
        """Return the payload of a DSSE envelope of this type; raises PlatformError BAD_SIGNATURE."""
        try:
            parsed = json.loads(envelope)
            payload = base64.b64decode(parsed["payload"], validate=True)
            found, signatures = parsed["payloadType"], parsed["signatures"]
            pairs = [(str(s["keyid"]), base64.b64decode(s["sig"], validate=True)) for s in signatures]
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise _bad("not a DSSE envelope") from error
        if found != payload_type:
            raise _bad(f"the envelope holds {found!r}, expected {payload_type!r}")
        if not pairs:
            raise _bad("the envelope carries no signature")
        for key_id, signature in pairs:
            self.verify_raw(key_id, signature, _pae(payload_type, payload))
        return payload


def new_key_pair(private_file: Path, public_file: Path) -> None:
    """Make a key pair in PEM files (private one 0600); leaves existing files as they are."""
    if private_file.exists():
        return
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public_file.parent.mkdir(parents=True, exist_ok=True)
    private_file.parent.mkdir(parents=True, exist_ok=True)
    public_file.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    private_file.touch(mode=0o600)
    private_file.write_bytes(pem)


def _pae(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _bad(message: str) -> PlatformError:
    return PlatformError(Code.INVALID_ARGUMENT, "BAD_SIGNATURE", message)
