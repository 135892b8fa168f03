"""One timer that tells many cameras when their next frame is due, so that a hundred of them cost little."""

import asyncio
import heapq
import math
from typing import Protocol


class Paced(Protocol):
    """Something that has work at given instants of the event loop's clock."""

    def advance(self, now: float) -> float | None:
        """Does what is due and returns the next instant, or None to be forgotten."""


class Pacer:
    """Calls each member when it is due, at multiples of ``quantum_s``, so that one wake-up serves all that are near."""

    def __init__(self, loop: asyncio.AbstractEventLoop, quantum_s: float = 0.004) -> None:
        self._loop = loop
        self._quantum_s = quantum_s
        self._queue: list[tuple[float, int, Paced]] = []
        self._order = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def add(self, member: Paced, due: float) -> None:
        """Wakes ``member`` at ``due``; it must not be waiting already."""
        self._order += 1
        heapq.heappush(self._queue, (due, self._order, member))
        self._arm()

    def close(self) -> None:
        """Stops for good; idempotent."""
        self._closed = True
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._closed or not self._queue:
            return
        at = math.ceil(self._queue[0][0] / self._quantum_s) * self._quantum_s
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = self._loop.time()
        try:
            while self._queue and self._queue[0][0] <= now:
                _, order, member = heapq.heappop(self._queue)
                due = member.advance(now)
                if due is not None and not self._closed:
                    heapq.heappush(self._queue, (max(due, math.nextafter(now, math.inf)), order, member))
        finally:
            self._arm()
