"""What a step of a story promises, and how it is held to it."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from lykta_common.errors import PlatformError

POLL_SECONDS: Final = 0.1
ValueT = TypeVar("ValueT")


class BrokenPromiseError(Exception):
    """A step did not hold; the message says what was promised and what was seen."""


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
