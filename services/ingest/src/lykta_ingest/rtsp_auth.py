"""Answers a camera's authentication challenge: Basic (RFC 7617) and Digest with MD5 or SHA-256 (RFC 7616)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field

_PARAMETER = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_ALGORITHMS = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}


@dataclass(frozen=True)
class Credentials:
    """A camera's user name and password; the password never appears in `repr`."""

    username: str
    password: str = field(repr=False)


class Authenticator:
    """Makes `Authorization` headers for one connection; prefers the strongest challenge a camera offers."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._scheme = ""
        self._challenge: dict[str, str] = {}
        self._count = 0

    def challenged(self, challenges: list[str]) -> bool:
        """Take the `WWW-Authenticate` values of a 401; False when none can be answered, or one was answered before.

        A `stale` nonce (RFC 7616 section 3.3) may be answered again.
        """
        offers = [_parse(text) for text in challenges]
        usable = sorted((offer for offer in offers if offer), key=lambda offer: offer[0], reverse=True)
        if not usable:
            return False
        _, scheme, parameters = usable[0]
        again = bool(self._scheme) and parameters.get("stale", "").lower() != "true"
        changed = parameters.get("nonce") != self._challenge.get("nonce")
        if again and (scheme == "basic" or self._count <= 1 or not changed):
            return False
        self._scheme, self._challenge, self._count = scheme, parameters, 0
        return True

    def header(self, method: str, uri: str) -> str | None:
        """Return the header value for a request; None before any challenge."""
        if not self._scheme:
            return None
        self._count += 1
        if self._scheme == "basic":
            pair = f"{self._credentials.username}:{self._credentials.password}"
            return "Basic " + base64.b64encode(pair.encode()).decode()
        return self._digest(method, uri)

    def _digest(self, method: str, uri: str) -> str:
        challenge, user = self._challenge, self._credentials.username
        name = challenge.get("algorithm", "MD5").upper()
        session = name.endswith("-SESS")
        algorithm = _ALGORITHMS[name.removesuffix("-SESS")]

        def digest(text: str) -> str:
            return algorithm(text.encode()).hexdigest()

        realm, nonce = challenge.get("realm", ""), challenge["nonce"]
        client_nonce, count = secrets.token_hex(8), f"{self._count:08x}"
        secret = digest(f"{user}:{realm}:{self._credentials.password}")
        if session:
            secret = digest(f"{secret}:{nonce}:{client_nonce}")
        target = digest(f"{method}:{uri}")
        qop = "auth" in [one.strip() for one in challenge.get("qop", "").split(",")]
        middle = f"{nonce}:{count}:{client_nonce}:auth" if qop else nonce
        fields = [f'username="{_quote(user)}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"']
        fields.append(f'response="{digest(f"{secret}:{middle}:{target}")}"')
        if "algorithm" in challenge:
            fields.append(f"algorithm={challenge['algorithm']}")
        if qop:
            fields.append(f"qop=auth, nc={count}")
        if qop or session:
            fields.append(f'cnonce="{client_nonce}"')
        if "opaque" in challenge:
            fields.append(f'opaque="{challenge["opaque"]}"')
        return "Digest " + ", ".join(fields)


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _parse(text: str) -> tuple[int, str, dict[str, str]] | None:
    """Return (strength, scheme, parameters) of a challenge that can be answered."""
    scheme, _, rest = text.strip().partition(" ")
    parameters = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
    if scheme.lower() == "basic":
        return 0, "basic", parameters
    algorithm = parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")
    if scheme.lower() != "digest" or algorithm not in _ALGORITHMS or "nonce" not in parameters:
        return None
    qops = [one.strip() for one in parameters.get("qop", "auth").split(",")]
    if "auth" not in qops:
        return None
    return (2 if algorithm == "SHA-256" else 1), "digest", parameters
