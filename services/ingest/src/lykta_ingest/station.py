"""What all cameras of one recorder share; put together in `app`."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from lykta_common.clock import Clock
from lykta_common.telemetry import Telemetry, traceparent
from lykta_contracts.instants import to_ms

from lykta_ingest.config import Settings
from lykta_ingest.drafts import Author
from lykta_ingest.keeping import Keeper
from lykta_ingest.keys import KeyRing
from lykta_ingest.lease import LeaseDesk
from lykta_ingest.live import LiveParts
from lykta_ingest.media import MediaBuffers
from lykta_ingest.rota import Rota


@dataclass
class Station:
    """Shared parts.

    `marks` says until when each camera was accounted for when the process started (unix ms), `backlog` how many
    fragments of it waited in the spool then.
    """

    settings: Settings
    clock: Clock
    telemetry: Telemetry
    author: Author
    keeper: Keeper
    keys: KeyRing
    leases: LeaseDesk
    live: LiveParts
    rota: Rota
    buffers: MediaBuffers = field(default_factory=MediaBuffers)
    camera_tls: ssl.SSLContext | None = None
    marks: dict[str, int] = field(default_factory=dict)
    backlog: dict[str, int] = field(default_factory=dict)

    @property
    def replica(self) -> str:
        """The name under which this recorder holds leases."""
        return f"ingest-{self.settings.replica}"

    def now_ms(self) -> int:
        """Unix milliseconds of the platform's clock."""
        return to_ms(self.clock.now())

    def new_trace(self, controller: str, camera: str) -> str:
        """Begin the trace of a key frame; returns its W3C context."""
        with self.telemetry.span("receive key frame", controller=controller, camera=camera):
            return traceparent()
