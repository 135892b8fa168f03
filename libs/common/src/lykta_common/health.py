"""Health: ready means that the service does its job, so every dependency is asked."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Ping = Callable[[], Awaitable[None]]


@dataclass
class Health:
    """Named checks; each returns when all is well and raises when it is not."""

    checks: dict[str, Ping] = field(default_factory=dict)
    deadline_seconds: float = 3.0
    last: dict[str, str] | None = None
    """What failed when all were asked last; None before."""

    async def failures(self) -> dict[str, str]:
        """Ask every check; return what failed and why, by name. Empty means ready."""
        results = await asyncio.gather(*(self._ask(name) for name in self.checks))
        self.last = {name: why for name, why in results if why}
        return self.last

    async def _ask(self, name: str) -> tuple[str, str]:
        try:
            async with asyncio.timeout(self.deadline_seconds):
                await self.checks[name]()
        except Exception as error:  # boundary: a health check reports every failure and raises none
            return name, f"{type(error).__name__}: {error}"
        return name, ""
