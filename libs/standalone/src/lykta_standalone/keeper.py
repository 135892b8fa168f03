"""Keeps one child process running: starts it again with growing waits when it dies, and tells what it is doing."""

import asyncio
import signal
import time
from dataclasses import dataclass
from typing import Final

from lykta_common.backoff import Backoff

from lykta_standalone.servers import Server

STEADY_SECONDS: Final = 20.0
"""A child that ran this long starts the next wait from the beginning."""


@dataclass(frozen=True)
class Condition:
    """What a kept process is doing now."""

    name: str
    state: str
    pid: int
    restarts: int
    detail: str = ""


class Keeper:
    """Owns one server process for the life of a run; `run` is its task."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.restarts = 0
        self._state = "starting"
        self._detail = ""
        self._stopping = asyncio.Event()

    @property
    def condition(self) -> Condition:
        """What it is doing now."""
        process = self.server.process
        pid = process.pid if process is not None and process.returncode is None else 0
        return Condition(self.server.name, self._state, pid, self.restarts, self._detail)

    async def run(self) -> None:
        """Start it unless it runs, and start it again whenever it ends, until `stop`."""
        backoff = Backoff(first=0.3, most=5.0)
        while not self._stopping.is_set():
            process = self.server.process
            if process is None or process.returncode is not None:
                await self.server.spawn()
                process = self.server.process
            if process is None:
                return
            started = time.monotonic()
            self._state = "running"
            code = await process.wait()
            self.server.kill_group()
            if self._stopping.is_set():
                return
            self.restarts += 1
            self._state, self._detail = "restarting", _why(code)
            if time.monotonic() - started > STEADY_SECONDS:
                backoff.reset()
            try:
                async with asyncio.timeout(backoff.next()):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def stop(self, seconds: float) -> None:
        """End it for good: SIGTERM, then SIGKILL when it has not gone in time."""
        self._stopping.set()
        self._state = "stopping"
        await self.server.stop(seconds=seconds)
        self._state = "stopped"

    def kill(self) -> None:
        """End it at once."""
        self._stopping.set()
        self.server.kill_group()


def _why(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
