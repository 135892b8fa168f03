"""DEVELOPMENT identity provider: OpenID Connect for the demo people, without passwords. Never for production.

Its issuer ends in `/development` and its discovery page says `lykta_development`, so that a platform in production
profile refuses it. Whoever can read the secret file may be any of its people.
"""

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final
from urllib.parse import parse_qs

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey
from lykta_common.tls import TlsFiles
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lykta_standalone.development import GRANT_TYPE, ISSUER_PATH, TOKEN_SECONDS
from lykta_standalone.ports import LOOPBACK

_BODY_BYTES: Final = 4096
_START_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Identity:
    """One person it speaks for: OIDC subject and display name."""

    subject: str
    name: str


def issuer_at(port: int) -> str:
    """Return the issuer of a provider on this loopback port."""
    return f"https://localhost:{port}{ISSUER_PATH}"


class DevelopmentProvider:
    """Issues ES256 tokens (RFC 7518, 3.4) for its people to whoever has the secret; its key lives for one run."""

    def __init__(
        self, issuer: str, audience: str, people: Mapping[str, Identity], secret: str,
        unix_time: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.issuer = issuer
        self._audience = audience
        self._people = people
        self._secret = secret
        self._unix_time = unix_time
        self._key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "use": "sig", "alg": "ES256"})

    def token(self, person: str) -> str:
        """Return an ID token of a person; raises KeyError for someone it does not know."""
        identity = self._people[person]
        now = int(self._unix_time())
        claims = {
            "iss": self.issuer,
            "aud": self._audience,
            "sub": identity.subject,
            "name": identity.name,
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_SECONDS,
            "jti": secrets.token_hex(8),
            "lykta_development": True,
        }
        return jwt.encode({"alg": "ES256", "kid": self._key.kid, "typ": "JWT"}, claims, self._key)

    def application(self) -> Starlette:
        """Return the HTTP side: discovery, keys, tokens."""
        routes = [
            Route(f"{ISSUER_PATH}/.well-known/openid-configuration", self._discovery),
            Route(f"{ISSUER_PATH}/jwks.json", self._keys),
            Route(f"{ISSUER_PATH}/token", self._token, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    async def _discovery(self, request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/jwks.json",
                "token_endpoint": f"{self.issuer}/token",
                "authorization_endpoint": f"{self.issuer}/authorize",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "grant_types_supported": [GRANT_TYPE],
                "lykta_development": True,
            }
        )

    async def _keys(self, request: Request) -> JSONResponse:
        return JSONResponse({"keys": [self._key.as_dict(private=False)]})

    async def _token(self, request: Request) -> JSONResponse:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY_BYTES:
                return _refused("invalid_request", "the body is too large")
        form = {name: values[0] for name, values in parse_qs(bytes(body).decode("latin-1")).items()}
        if form.get("grant_type") != GRANT_TYPE:
            return _refused("unsupported_grant_type", f"this development provider knows {GRANT_TYPE} only")
        if not compare_digest(form.get("client_secret", "").encode(), self._secret.encode()):
            return _refused("invalid_client", "the client secret is wrong")
        if form.get("person", "") not in self._people:
            return _refused("invalid_grant", f"unknown person; the demo people are {', '.join(self._people)}")
        token = self.token(form["person"])
        return JSONResponse(
            {"access_token": token, "id_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS},
            headers={"Cache-Control": "no-store"},
        )


def _refused(error: str, description: str) -> JSONResponse:
    return JSONResponse({"error": error, "error_description": description}, status_code=400)


class _QuietServer(uvicorn.Server):
    """A server that leaves the process's signals alone and tells when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port."""
        await super().startup(sockets)
        self.up.set()


@asynccontextmanager
async def serving(provider: DevelopmentProvider, port: int, tls: TlsFiles, host: str = LOOPBACK) -> AsyncIterator[None]:
    """Serve the provider (on loopback, unless told otherwise) for the block; raises TimeoutError or OSError."""
    listening = socket.create_server((host, port))
    config = uvicorn.Config(
        provider.application(), ssl_certfile=str(tls.certificate), ssl_keyfile=str(tls.key), log_config=None,
        access_log=False, lifespan="off", timeout_graceful_shutdown=1, ws="none",
    )  # fmt: skip
    server = _QuietServer(config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve([listening]), name="dev-identity")
        try:
            async with asyncio.timeout(_START_SECONDS):
                await server.up.wait()
            yield
        finally:
            server.should_exit = True
