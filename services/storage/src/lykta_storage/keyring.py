"""Camera-hour keys: age X25519 pairs whose private halves are wrapped by the controller's key (KEK)."""

import base64
import binascii
import os
from pathlib import Path
from typing import Final

import pyrage
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lykta_common.errors import Code, PlatformError, invalid
from lykta_contracts.ids import is_slug

from lykta_storage.domain.footage import CameraHour

KEK_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class Keyring:
    """Makes, wraps and unwraps hour keys with the KEK files `<directory>/<controller>.key` (32 bytes, base64)."""

    def __init__(self, directory: Path, create: bool) -> None:
        self._directory = directory
        self._create = create
        self._keks: dict[str, AESGCM] = {}

    def new_pair(self, hour: CameraHour) -> tuple[str, bytes]:
        """Make a key pair; return the recipient (`age1…`) and the wrapped private half. Blocking."""
        identity = pyrage.x25519.Identity.generate()
        return str(identity.to_public()), self.wrap(hour, str(identity))

    def wrap(self, hour: CameraHour, identity: str) -> bytes:
        """Encrypt a private half with AES-256-GCM, bound to its hour; nonce first."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._kek(hour.controller).encrypt(nonce, identity.encode(), _bound_to(hour))

    def unwrap(self, hour: CameraHour, wrapped: bytes) -> str:
        """Return the private half (`AGE-SECRET-KEY-1…`); raises PlatformError INTEGRITY when it is not this hour's."""
        nonce, sealed = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        try:
            return self._kek(hour.controller).decrypt(nonce, sealed, _bound_to(hour)).decode()
        except InvalidTag as error:
            message = f"the key of {hour.camera} {hour.hour} does not open with the key of controller {hour.controller}"
            raise PlatformError(Code.DATA_LOSS, "INTEGRITY", message) from error

    def _kek(self, controller: str) -> AESGCM:
        if controller not in self._keks:
            if not is_slug(controller):
                raise invalid(f"{controller!r} is no controller")
            self._keks[controller] = AESGCM(self._read(controller))
        return self._keks[controller]

    def _read(self, controller: str) -> bytes:
        path = self._directory / f"{controller}.key"
        if self._create and not path.exists():
            _make(path)
        try:
            key = base64.b64decode(path.read_text().strip(), validate=True)
        except FileNotFoundError as error:
            message = f"controller {controller} has no key: put 32 random bytes in base64 into {path}"
            raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message) from error
        except (OSError, ValueError, binascii.Error) as error:
            raise _unusable(path) from error
        if len(key) != KEK_BYTES:
            raise _unusable(path)
        return key


def decrypt(cipher: bytes, identity: str) -> bytes:
    """Open one age file (age-encryption.org/v1); raises PlatformError INTEGRITY when it does not open. Blocking."""
    try:
        return bytes(pyrage.decrypt(cipher, [pyrage.x25519.Identity.from_str(identity)]))
    except (pyrage.DecryptError, pyrage.IdentityError) as error:
        raise PlatformError(
            Code.DATA_LOSS, "INTEGRITY", "stored footage does not decrypt with its hour's key"
        ) from error


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(os.urandom(KEK_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    # Linking refuses to replace a key that another process made meanwhile; losing one would lose its footage.
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)


def _bound_to(hour: CameraHour) -> bytes:
    return f"lykta-hour-key/v1\n{hour.controller}\n{hour.camera}\n{hour.hour}\n".encode()


def _unusable(path: Path) -> PlatformError:
    message = f"the key file {path} must hold 32 bytes in base64"
    return PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)
