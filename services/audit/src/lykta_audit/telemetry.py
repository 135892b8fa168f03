"""What the audit log shows of itself to a scraper: its size, what is published of it, and how fast it takes entries."""

from typing import Protocol

from lykta_common.clock import Clock
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.metrics import Metrics

log = get_logger(__name__)

LOOK_SECONDS = 5.0


class Watched(Protocol):
    """What of the log is looked at."""

    @property
    def writing(self) -> bool:
        """True while this process writes the log."""
        ...

    @property
    def halted(self) -> PlatformError | None:
        """Why the log stopped because stored bytes do not hold; None while they do."""
        ...

    async def sizes(self) -> tuple[int, int]:
        """Return how many entries the log has, and how many are under a published checkpoint."""
        ...


class AuditMetrics:
    """The metrics of audit."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._clock = clock
        self.outbox_pending = metrics.outbox_pending()
        self._size = metrics.gauge("log_entries", "Entries in the log")
        self._published = metrics.gauge("published_entries", "Entries under the published checkpoint")
        self._checkpoint_at = metrics.gauge(
            "checkpoint_timestamp_seconds", "When this process last published a checkpoint; 0 when it has not yet"
        )
        self._writing = metrics.gauge("log_writing", "1 while this process is the writer of the log")
        self._halted = metrics.gauge("log_halted", "1 when the log stopped because stored bytes do not hold")
        self._append = metrics.latency("append_seconds", "From an append to its durable place")

    def appended(self, seconds: float) -> None:
        """Note how long an append took that was answered with places."""
        self._append.observe(seconds)

    def checkpoint_published(self) -> None:
        """Note that a checkpoint was published just now."""
        self._checkpoint_at.set(self._clock.now().timestamp())

    async def keep_looking(self, watched: Watched) -> None:
        """Look at the log round after round until cancelled; a failure leaves what was shown last."""
        while True:
            self._writing.set(watched.writing)
            self._halted.set(watched.halted is not None)
            try:
                entries, published = await watched.sizes()
            except PlatformError as error:
                log.warning("metrics_waiting", reason=error.reason, error=error.message)
            else:
                self._size.set(entries)
                self._published.set(published)
            await self._clock.sleep(LOOK_SECONDS)
