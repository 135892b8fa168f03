"""A clock that a test moves by hand."""

import asyncio
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Stands still until `advance` is called; sleepers wake when their time has come."""

    def __init__(self, start: datetime = datetime(2026, 6, 1, 12, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = timedelta()
        self._moved = asyncio.Condition()

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Return the seconds it was moved."""
        return self._elapsed.total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved this far."""
        until = self._elapsed + timedelta(seconds=seconds)
        async with self._moved:
            await self._moved.wait_for(lambda: self._elapsed >= until)

    async def advance(self, step: timedelta) -> None:
        """Move the clock and wake sleepers."""
        async with self._moved:
            self._elapsed += step
            self._moved.notify_all()
        await asyncio.sleep(0)
