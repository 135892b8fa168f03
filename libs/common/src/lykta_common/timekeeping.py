"""Is this machine's clock right? It is compared with that of NATS, which every service shares."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from lykta_common.errors import Code, PlatformError
from lykta_common.messaging import Messaging

TOLERANCE: Final = timedelta(seconds=5)
"""Clocks that are kept by NTP differ by milliseconds; what is stated as evidence may not be off by more than this."""
_ASK_EVERY: Final = timedelta(seconds=10)


def machine_time() -> datetime:
    """Return the machine's wall-clock time, aware UTC."""
    return datetime.now(UTC)


class Timekeeper:
    """Compares two clocks every 10 s; `now` is the one that is judged."""

    def __init__(self, messaging: Messaging, now: Callable[[], datetime] = machine_time) -> None:
        self._messaging = messaging
        self._now = now
        self._asked_at: datetime | None = None
        self._offset = timedelta()

    async def check(self) -> None:
        """Health check: raises PlatformError WRONG_STATE while the clock is off, as far as is known."""
        started = self._now()
        if self._asked_at is None or abs(started - self._asked_at) >= _ASK_EVERY:
            # Without NATS nothing new is learnt about the clock; that it is away is told by another check.
            with suppress(PlatformError):
                there = await self._messaging.server_time()
                ended = self._now()
                self._asked_at, self._offset = ended, started + (ended - started) / 2 - there
        if abs(self._offset) > TOLERANCE:
            side = "ahead of" if self._offset > timedelta() else "behind"
            message = (
                f"this machine's clock is {abs(self._offset).total_seconds():.0f} s {side} that of NATS; "
                "see which of the two is wrong, and let NTP keep both"
            )
            raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)
