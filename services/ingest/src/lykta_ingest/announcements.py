"""States facts on JetStream, one after the other, until each is stored there; what waits is kept by the journal."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from lykta_common.backoff import Backoff
from lykta_common.clock import Clock
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_contracts.events import CloudEvent

log = get_logger(__name__)


class FactPublisher(Protocol):
    """What of the messaging is needed here."""

    async def publish_raw(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Publish on JetStream; returns when it is stored, raises PlatformError otherwise."""
        ...


class Announcements:
    """The queue of facts. It has no bound of its own: everything in it lies in the journal, which has one."""

    def __init__(self, publisher: FactPublisher, clock: Clock) -> None:
        self._publisher = publisher
        self._clock = clock
        self._queue: deque[tuple[CloudEvent, str, Callable[[], None]]] = deque()
        self._wake = asyncio.Event()

    def announce(self, event: CloudEvent, then: Callable[[], None], message_id: str = "") -> None:
        """Queue a fact; `then` is called once JetStream has stored it. A message id of its own defeats duplication."""
        self._queue.append((event, message_id or event.id, then))
        self._wake.set()

    @property
    def waiting(self) -> int:
        """How many facts wait."""
        return len(self._queue)

    async def run(self) -> None:
        """Publish until cancelled."""
        backoff = Backoff(first=0.2, most=5.0)
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            event, message_id, then = self._queue[0]
            headers = {"Nats-Msg-Id": message_id}
            if event.traceparent:
                headers["traceparent"] = event.traceparent
            try:
                await self._publisher.publish_raw(event.subject, event.to_json(), headers)
            except PlatformError as error:
                log.warning("announcement_waiting", waiting=len(self._queue), reason=error.reason, error=error.message)
                await self._clock.sleep(backoff.next())
                continue
            backoff.reset()
            self._queue.popleft()
            then()
