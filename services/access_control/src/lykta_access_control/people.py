"""People through OpenID Connect: a bearer token is verified against its provider's published keys."""

import asyncio
import hashlib
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key
from lykta_common.clock import Clock
from lykta_common.errors import invalid, unavailable
from lykta_common.logging import get_logger

from lykta_access_control.domain.decision import Person
from lykta_access_control.domain.refusal import RefusedError
from lykta_access_control.jose import Algorithms

log = get_logger(__name__)

ALGORITHMS: Final = Algorithms("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
"""Asymmetric only: `none` and the symmetric ones let anyone, or any client, make tokens (RFC 8725, 3.1)."""
LEEWAY: Final = timedelta(seconds=30)
KEYS_FRESH_SECONDS: Final = 600.0
KEYS_KEPT_SECONDS: Final = 86_400.0
"""While the provider is away its last keys serve this long."""
REFETCH_SECONDS: Final = 10.0
"""An unknown key id makes us look again, but no more often than this."""
RETRY_SECONDS: Final = 1.0
"""A provider that did not answer is asked again after this long."""
REMEMBERED_SECONDS: Final = 60.0
REMEMBERED_TOKENS: Final = 4096
LARGEST_TOKEN: Final = 16_384
LARGEST_ANSWER: Final = 262_144
DEADLINE: Final = 3.0
STAND_IN: Final = "lykta_development"
"""Claim and discovery field by which the development provider says what it is."""

Key = RSAKey | ECKey | OKPKey


@dataclass(frozen=True)
class Provider:
    """Which provider is trusted, and for which audience; `operators` are subjects that run the platform.

    A provider that calls itself a stand-in for development is refused unless `stand_in_allowed`.
    """

    issuer: str
    audience: str
    operators: frozenset[str] = frozenset()
    stand_in_allowed: bool = False


class ProviderKeys:
    """The provider's signing keys by key id: discovered, cached, and looked up again when one is unknown."""

    def __init__(self, provider: Provider, client: httpx.AsyncClient, clock: Clock) -> None:
        self._provider = provider
        self._client = client
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._fetched_at = float("-inf")
        self._next_try_at = float("-inf")
        self._turn = asyncio.Lock()

    async def find(self, key_id: str) -> Key | None:
        """Return a key; None when the provider does not publish it. Raises UNAVAILABLE when it cannot be asked."""
        if key_id not in self._keys or self._age() > KEYS_FRESH_SECONDS:
            await self._look(key_id)
        return self._keys.get(key_id)

    def _age(self) -> float:
        return self._clock.monotonic() - self._fetched_at

    async def _look(self, key_id: str) -> None:
        async with self._turn:
            known = key_id in self._keys
            if known and self._age() <= KEYS_FRESH_SECONDS:
                return  # another caller has just fetched it
            now = self._clock.monotonic()
            if now < self._next_try_at:
                if self._age() > KEYS_KEPT_SECONDS:
                    raise unavailable("the identity provider")
                return
            self._next_try_at = now + RETRY_SECONDS
            try:
                self._keys = await self._fetch()
                self._fetched_at, self._next_try_at = now, now + REFETCH_SECONDS
            except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
                log.warning("identity_provider_failed", error=str(error) or type(error).__name__)
                if not known or self._age() > KEYS_KEPT_SECONDS:
                    raise unavailable("the identity provider") from error

    async def _fetch(self) -> dict[str, Key]:
        issuer = self._provider.issuer
        about = await self._get(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if about["issuer"] != issuer:
            raise ValueError("the provider's discovery document names another issuer")
        if about.get(STAND_IN) and not self._provider.stand_in_allowed:
            raise ValueError("the provider is a stand-in for development; the production profile refuses it")
        address = str(about["jwks_uri"])
        if issuer.startswith("https:") and not address.startswith("https:"):
            raise ValueError("the provider publishes its keys without TLS")
        published = (await self._get(address))["keys"]
        keys = {str(entry.get("kid", "")): _key(entry) for entry in published if _signs(entry)}
        return {key_id: key for key_id, key in keys.items() if key is not None}

    async def _get(self, address: str) -> Any:
        response = await self._client.get(address, headers={"accept": "application/json"})
        response.raise_for_status()
        if response.is_redirect or len(response.content) > LARGEST_ANSWER:
            raise ValueError("the provider's answer is a redirect or too large")
        return response.json()


class People:
    """Verifies bearer tokens; what was verified is remembered for a minute at most, never past its expiry."""

    def __init__(self, provider: Provider, keys: ProviderKeys, clock: Clock) -> None:
        self._provider = provider
        self._keys = keys
        self._clock = clock
        self._remembered: OrderedDict[bytes, tuple[float, Person]] = OrderedDict()

    async def verify(self, token: str) -> Person:
        """Return the person behind a bearer token.

        Raises RefusedError UNAUTHENTICATED for any token that does not verify (RFC 7519, 7.2; OpenID Connect Core
        1.0, 3.1.3.7), and PlatformError UNAVAILABLE when the provider's keys cannot be had.
        """
        if not token:
            raise _no("no token was sent")
        if len(token) > LARGEST_TOKEN:
            raise _no("the token is too large")
        digest = hashlib.sha256(token.encode()).digest()
        found = self._remembered.get(digest)
        now, tick = self._clock.now(), self._clock.monotonic()
        if found is not None and tick < found[0] and not _over(found[1], now):
            return found[1]
        person = self._person(await self._claims(token), now)
        self._remembered[digest] = (tick + REMEMBERED_SECONDS, person)
        while len(self._remembered) > REMEMBERED_TOKENS:
            self._remembered.popitem(last=False)
        return person

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jws.extract_compact(token.encode()).headers()
        except (JoseError, ValueError) as error:
            raise _no("it is not a signed JSON web token") from error
        if header.get("alg") not in ALGORITHMS.names:
            raise _no(f"it is not signed with one of {', '.join(sorted(ALGORITHMS.names))}")
        key = await self._keys.find(str(header.get("kid", "")))
        if key is None:
            raise _no("the provider does not know its key")
        try:
            return dict(jwt.decode(token, key, registry=ALGORITHMS).claims)
        except (JoseError, ValueError) as error:
            raise _no("its signature does not verify") from error

    def _person(self, claims: dict[str, Any], now: datetime) -> Person:
        provider, subject = self._provider, claims.get("sub")
        if claims.get("iss") != provider.issuer:
            raise _no("it is from another issuer")
        if claims.get(STAND_IN) and not provider.stand_in_allowed:
            raise _no("it is from a stand-in for development")
        audience = claims.get("aud")
        if provider.audience not in (audience if isinstance(audience, list) else [audience]):
            raise _no("it is for another audience")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
            raise _no("it names no subject")
        expires_at = _instant(claims, "exp")
        if expires_at is None or now >= expires_at + LEEWAY:
            raise _no("it has expired")
        for name in ("nbf", "iat"):
            at = _instant(claims, name)
            if at is not None and now < at - LEEWAY:
                raise _no("it is not valid yet")
        name = claims.get("name") or claims.get("preferred_username") or ""
        shown = name[:200] if isinstance(name, str) else ""
        return Person(subject, shown, expires_at + LEEWAY, subject in provider.operators)


@asynccontextmanager
async def open_people(provider: Provider, ca_file: Path | None, clock: Clock) -> AsyncIterator[People]:
    """Open the way to the identity provider for the block; nothing is fetched before the first token."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        raise invalid(f"cannot read the identity provider's CA file {ca_file}: {error}") from error
    async with httpx.AsyncClient(verify=context, timeout=DEADLINE, follow_redirects=False, trust_env=False) as client:
        yield People(provider, ProviderKeys(provider, client, clock), clock)


def _signs(entry: dict[str, Any]) -> bool:
    return entry.get("use", "sig") == "sig" and entry.get("kty") in ("RSA", "EC", "OKP")


def _key(entry: dict[str, Any]) -> Key | None:
    """Read one published key; one of a kind we do not know is none of ours, the others still serve."""
    try:
        key = import_key(entry)
    except (JoseError, ValueError):
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None


def _over(person: Person, now: datetime) -> bool:
    return person.expires_at is None or now >= person.expires_at


def _instant(claims: dict[str, Any], name: str) -> datetime | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**40:
        raise _no(f"its {name} is no instant")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise _no(f"its {name} is no instant") from error


def _no(why: str) -> RefusedError:
    return RefusedError("UNAUTHENTICATED", f"your login was not accepted: {why}; log in again")
