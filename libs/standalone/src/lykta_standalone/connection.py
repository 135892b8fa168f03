"""A running platform seen from outside: its attach points, channels to its services, and calls as a person."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
import httpx
from lykta_common.config import read_secret
from lykta_common.errors import Code, PlatformError, invalid, unavailable
from lykta_common.identity import bearer_metadata
from lykta_common.rpc import call, open_channel
from lykta_common.telemetry import Telemetry
from lykta_common.tls import TlsFiles
from lykta_contracts.platform_file import PlatformFile
from pydantic import ValidationError

from lykta_standalone.development import GRANT_TYPE

IDENTITY_SECONDS: Final = 10.0
GRANT_METADATA: Final = "lykta-grant"
StubT = TypeVar("StubT")
ResponseT = TypeVar("ResponseT")


def read_platform(path: Path) -> PlatformFile:
    """Read `platform.json`; raises PlatformError UNAVAILABLE when no platform wrote one there."""
    try:
        return PlatformFile.from_json(path.read_bytes())
    except FileNotFoundError as error:
        message = f"no platform runs in {path.parent.parent}; start one with `lykta up`, or name another --state-dir"
        raise PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", message) from error
    except (OSError, ValidationError) as error:
        raise invalid(f"cannot read {path}: {error}") from error


class Connection:
    """Calls the services of one platform; people's tokens are fetched when first needed."""

    def __init__(self, platform: PlatformFile, workload: str, telemetry: Telemetry, stack: AsyncExitStack) -> None:
        self.platform = platform
        self._files = _files(platform, workload)
        self._telemetry = telemetry
        self._stack = stack
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._tokens: dict[str, str] = {}

    async def stub(self, kind: Callable[[grpc.aio.Channel], StubT], service: str) -> StubT:
        """Return a stub of a service (workload name)."""
        if service not in self._channels:
            address = self.platform.grpc.get(service)
            if address is None:
                raise unavailable(f"{service} (it is not part of this platform)")
            channel = open_channel(address, self._files, service, self._telemetry)
            self._channels[service] = await self._stack.enter_async_context(channel)
        return kind(self._channels[service])

    async def ask(
        self, person: str, peer: str, method: Callable[..., Awaitable[ResponseT]], request: Any, *,
        seconds: float | None = None, grant: str = "",
    ) -> ResponseT:  # fmt: skip
        """Make one unary call as a person; a refusal or failure is a PlatformError with its reason."""
        metadata = await self.metadata(person, grant)
        return await call(peer, method(request, metadata=metadata, timeout=seconds))

    async def metadata(self, person: str, grant: str = "") -> tuple[tuple[str, str], ...]:
        """Return the metadata of a person's call; empty for no person."""
        if not person:
            return ()
        found = bearer_metadata(await self.token(person))
        return (*found, (GRANT_METADATA, grant)) if grant else found

    async def token(self, person: str) -> str:
        """Return a person's token."""
        if person not in self._tokens:
            self._tokens[person] = await fetch_token(self.platform, person)
        return self._tokens[person]

    def use_token(self, person: str, token: str) -> None:
        """Use a token that was fetched before."""
        self._tokens[person] = token


@asynccontextmanager
async def connected(platform: PlatformFile, workload: str = "cli") -> AsyncIterator[Connection]:
    """Connect for the block as a workload that `platform.json` has a certificate for."""
    telemetry = Telemetry(workload, "cli", platform.otlp_endpoint)
    try:
        async with AsyncExitStack() as stack:
            yield Connection(platform, workload, telemetry, stack)
    finally:
        await asyncio.to_thread(telemetry.close)


async def fetch_token(platform: PlatformFile, person: str) -> str:
    """Ask the development identity provider for a person's token; raises PlatformError with what to do."""
    context = ssl.create_default_context(cafile=platform.ca_file)
    form = {"grant_type": GRANT_TYPE, "person": person}
    form["client_secret"] = read_secret(Path(platform.oidc_client_secret_file))
    try:
        async with httpx.AsyncClient(verify=context, timeout=IDENTITY_SECONDS, trust_env=False) as client:
            response = await client.post(f"{platform.oidc_issuer}/token", data=form)
    except (OSError, httpx.HTTPError) as error:
        raise unavailable("the identity provider") from error
    answer = response.json()
    if response.status_code != httpx.codes.OK:
        message = str(answer.get("error_description", "the identity provider refused"))
        raise PlatformError(Code.UNAUTHENTICATED, "UNAUTHENTICATED", message)
    return str(answer["id_token"])


def _files(platform: PlatformFile, workload: str) -> TlsFiles:
    client = platform.clients.get(workload)
    if client is None:
        raise invalid(f"platform.json holds no certificate for the workload {workload!r}")
    return TlsFiles(Path(platform.ca_file), Path(client.certificate_file), Path(client.key_file))
