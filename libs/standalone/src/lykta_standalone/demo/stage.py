"""What the steps of the story share: the running platform, who asks, and what earlier steps found."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from google.protobuf.message import Message
from lykta.analytics.v1 import incident_service_pb2 as incidents
from lykta_common.errors import PlatformError
from lykta_contracts.platform_file import PlatformFile

from lykta_standalone.connection import Connection
from lykta_standalone.playback import Wanted

CAMERA: Final = "tradgardstorget-1"
CONTROLLER: Final = "ks"
POLL_SECONDS: Final = 0.1
ValueT = TypeVar("ValueT")


class BrokenPromiseError(Exception):
    """A step did not hold; the message says what was promised and what was seen."""


@dataclass
class Stage:
    """Everything the steps need; each step adds what it found."""

    platform: PlatformFile
    people: Connection
    tool: Connection
    work: Path
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    mandate_id: str = ""
    incident: incidents.Incident | None = None
    case_id: str = ""
    grant_id: str = ""
    second_grant_id: str = ""
    token: str = ""
    wanted: Wanted | None = None
    clip: Path | None = None
    log: Path | None = None
    receipt_id: str = ""
    fragments: int = 0

    async def ask(
        self, person: str, peer: str, kind: Callable[..., Any], method: str, request: Message, seconds: float = 15.0
    ) -> Any:
        """Make one call as a person."""
        stub = await self.people.stub(kind, peer)
        return await self.people.ask(person, peer, getattr(stub, method), request, seconds=seconds)

    async def as_tool(self, peer: str, kind: Callable[..., Any], method: str, request: Message) -> Any:
        """Make one call as the workload `test-tool`, with nobody behind it."""
        stub = await self.tool.stub(kind, peer)
        return await self.tool.ask("", peer, getattr(stub, method), request, seconds=15.0)


def require(holds: object, promise: str) -> None:
    """Go on only when it holds; raises BrokenPromiseError with the promise."""
    if not holds:
        raise BrokenPromiseError(promise)


async def require_refused(call: Awaitable[object], reason: str, what: str) -> str:
    """Go on only when the call is refused for exactly this reason; returns the message people read."""
    try:
        await call
    except PlatformError as error:
        require(error.reason == reason, f"{what} must be refused with {reason}, it was refused with {error}")
        return error.message
    raise BrokenPromiseError(f"{what} must be refused with {reason}, it was done")


async def until(look: Callable[[], Awaitable[ValueT]], seconds: float, promise: str) -> ValueT:
    """Look again and again until there is something; raises BrokenPromiseError when it does not come in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        try:
            found = await look()
        except PlatformError as error:
            if not error.retryable or loop.time() > end:
                raise
        else:
            if found:
                return found
        if loop.time() > end:
            raise BrokenPromiseError(f"{promise}: not within {seconds:.0f} s")
        await asyncio.sleep(POLL_SECONDS)


async def run_offline(*arguments: str) -> tuple[int, str]:
    """Run a Python module in a process of its own that has nothing of the platform; returns exit code and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-m", *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        raise
    return process.returncode or 0, output.decode(errors="replace").strip()
