"""Live parts on core NATS: at most 500 ms each, lost without regret when nobody can take them."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from typing import Protocol

from lykta_common.errors import PlatformError
from lykta_contracts.instants import from_ms, to_wire
from lykta_contracts.media import HEADER_EPOCH, HEADER_FROM, HEADER_INIT, HEADER_KEY, HEADER_MANDATE
from lykta_contracts.streams import MEDIA_SUBJECT

from lykta_ingest.domain import Terms
from lykta_ingest.fmp4 import fragment_head
from lykta_ingest.gop import TICKS_PER_MS, Part

_WAITING_BYTES_MAX = 32 << 20
_PART_BYTES_MAX = 7 << 20


class PartPublisher(Protocol):
    """What of the messaging is needed here."""

    async def publish_core(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Publish on core NATS; raises PlatformError when it is away."""
        ...


class LiveParts:
    """Publishes parts in order; when more than 32 MiB wait, the oldest are dropped."""

    def __init__(self, publisher: PartPublisher) -> None:
        self._publisher = publisher
        self._queue: deque[tuple[str, bytes, dict[str, str]]] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self.dropped = 0

    def offer(self, part: Part, terms: Terms, init: bytes, traceparent: str) -> None:
        """Queue a part (`moof` + `mdat`); a key part carries the init, so that a receiver can begin with it."""
        head = fragment_head(part.sequence + 1, part.start_ticks, part.durations, part.sizes, key=part.key)
        payload = b"".join((head, part.media))
        if len(payload) > _PART_BYTES_MAX:
            self.dropped += 1
            return
        headers = {
            HEADER_EPOCH: str(terms.epoch),
            HEADER_FROM: to_wire(from_ms(part.epoch_ms + part.start_ticks // TICKS_PER_MS)),
        }
        if part.key:
            headers[HEADER_KEY] = "1"
            headers[HEADER_INIT] = base64.b64encode(init).decode()
            headers[HEADER_MANDATE] = f"{terms.mandate_id}/{terms.mandate_version}"
        if traceparent:
            headers["traceparent"] = traceparent
        subject = MEDIA_SUBJECT.format(controller=terms.controller, camera=terms.camera)
        self._queue.append((subject, payload, headers))
        self._waiting_bytes += len(payload)
        while self._waiting_bytes > _WAITING_BYTES_MAX:
            self._waiting_bytes -= len(self._queue.popleft()[1])
            self.dropped += 1
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            subject, payload, headers = self._queue.popleft()
            self._waiting_bytes -= len(payload)
            try:
                await self._publisher.publish_core(subject, payload, headers)
            except PlatformError:
                self.dropped += 1
