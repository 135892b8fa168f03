"""The camera's side of Basic (RFC 7617) and Digest (RFC 2617, RFC 7616) authentication."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

from lykta_camera_sim.spec import CameraSpec

_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_NONCE_LIMIT = 1000


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Gate:
    """Checks the credentials of one camera's clients; a nonce is good for the gate's life or until :meth:`expire`."""

    def __init__(self, spec: CameraSpec) -> None:
        self._spec = spec
        self._nonces: dict[str, bool] = {}

    def challenges(self, stale: bool = False) -> list[str]:
        """Returns the ``WWW-Authenticate`` values to offer, in the order of the specification."""
        offers = []
        for scheme in self._spec.schemes:
            if scheme == "basic":
                offers.append(f'Basic realm="{self._spec.realm}"')
            elif scheme.startswith("digest"):
                offers.append(self._digest_challenge(scheme, stale))
        return offers

    def expire(self) -> None:
        """Makes every nonce handed out so far stale."""
        self._nonces = dict.fromkeys(self._nonces, False)

    def _digest_challenge(self, scheme: str, stale: bool) -> str:
        nonce = secrets.token_hex(16)
        while len(self._nonces) >= _NONCE_LIMIT:
            del self._nonces[next(iter(self._nonces))]
        self._nonces[nonce] = True
        parts = [f'realm="{self._spec.realm}"', f'nonce="{nonce}"']
        if scheme == "digest-sha256":
            parts.append("algorithm=SHA-256")
        if scheme != "digest":
            parts.append('qop="auth"')
        if stale:
            parts.append("stale=true")
        return "Digest " + ", ".join(parts)

    def check(self, header: str | None, method: str, uri: str) -> tuple[bool, bool]:
        """Returns (allowed, nonce was stale) for an ``Authorization`` header."""
        if not self._spec.asks_password:
            return True, False
        scheme, _, rest = (header or "").partition(" ")
        if scheme.lower() == "basic" and "basic" in self._spec.schemes:
            return self._basic(rest), False
        if scheme.lower() == "digest":
            return self._digest(rest, method, uri)
        return False, False

    def _basic(self, value: str) -> bool:
        try:
            given = base64.b64decode(value.strip(), validate=True)
        except binascii.Error:
            return False
        return hmac.compare_digest(given, f"{self._spec.username}:{self._spec.password}".encode())

    def _digest(self, value: str, method: str, uri: str) -> tuple[bool, bool]:
        given = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(value)}
        algorithm = given.get("algorithm", "MD5").upper()
        wanted = "digest-sha256" if algorithm == "SHA-256" else "digest-qop" if "qop" in given else "digest"
        if wanted not in self._spec.schemes or algorithm not in ("MD5", "SHA-256"):
            return False, False
        if wanted == "digest-sha256" and given.get("qop") != "auth":
            return False, False
        alive = self._nonces.get(given.get("nonce", ""))
        if alive is None or given.get("uri") != uri or given.get("username") != self._spec.username:
            return False, False
        expected = self._response(given, method, _sha256 if algorithm == "SHA-256" else _md5)
        right = hmac.compare_digest(expected.encode(), given.get("response", "").encode())
        return right and alive, right and not alive

    def _response(self, given: dict[str, str], method: str, digest: Callable[[str], str]) -> str:
        first = digest(f"{self._spec.username}:{self._spec.realm}:{self._spec.password}")
        second = digest(f"{method}:{given.get('uri', '')}")
        nonce = given.get("nonce", "")
        if "qop" in given:
            return digest(f"{first}:{nonce}:{given.get('nc', '')}:{given.get('cnonce', '')}:{given['qop']}:{second}")
        return digest(f"{first}:{nonce}:{second}")
