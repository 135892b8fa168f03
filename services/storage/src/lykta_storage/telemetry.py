"""What storage shows of itself to a scraper: coverage, catalogue, playback, keys, deletions and seals."""

from dataclasses import dataclass
from typing import Final

from lykta_common.clock import Clock
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.metrics import Family, Metrics
from lykta_contracts.events import SegmentRecorded
from lykta_contracts.instants import from_ms, hour_of, to_ms
from lykta_contracts.model import Message

from lykta_storage.coverage import Coverage
from lykta_storage.domain.coverage import SETTLING_MS
from lykta_storage.domain.footage import HOUR_MS
from lykta_storage.domain.spans import total_ms
from lykta_storage.retention import Deleted
from lykta_storage.store.footage import FootageStore
from lykta_storage.store.hours import HourStore
from lykta_storage.store.terms import TermStore

log = get_logger(__name__)

LOOK_SECONDS: Final = 300.0
"""A look costs a read of the last hour of every camera, so it is taken rarely."""
BALANCES: Final = ("scheduled", "recorded", "explained", "unexplained", "pending")


@dataclass(frozen=True)
class Sights:
    """What is looked at from time to time."""

    terms: TermStore
    hours: HourStore
    footage: FootageStore
    coverage: Coverage


class StorageMetrics:
    """The metrics of storage; labels name controllers, never persons or single recordings."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._clock = clock
        self.outbox_pending = metrics.outbox_pending()
        self._coverage = Family(
            metrics.gauge(
                "coverage_seconds",
                "Time of the last hour by balance (scheduled, recorded, explained, unexplained, pending), all cameras",
                ["controller", "balance"],
            )
        )
        self._catalogued = metrics.counter("segments_catalogued", "Segments taken into the catalogue", ["controller"])
        self._lag = metrics.latency("catalogue_lag_seconds", "From the end of a segment to its row in the catalogue")
        self.playbacks_open = metrics.gauge("playbacks_open", "Playbacks that are open")
        self.playback_bytes = metrics.counter("playback_bytes", "Bytes of footage handed to readers")
        self._keys_alive = metrics.gauge("hour_keys_alive", "Camera-hours whose key exists")
        self._deleted = metrics.counter("hours_deleted", "Camera-hours deleted, key and objects", ["controller"])
        self._unfinished = metrics.gauge("deletions_unfinished", "Camera-hours whose deletion began and has not ended")
        self._retention_at = metrics.gauge(
            "retention_success_timestamp_seconds", "When a retention round last ended without a failure (or the start)"
        )
        self._retention_at.set(clock.now().timestamp())
        self._seals_pending = metrics.gauge("seals_pending", "Ended camera-hours whose root is not in the audit log")

    def catalogued(self, data: Message) -> None:
        """Count a segment that was taken in; other facts mean nothing here."""
        if isinstance(data, SegmentRecorded):
            self._catalogued.labels(data.index.controller).inc()
            self._lag.observe(max(0.0, (self._clock.now() - data.index.to_at).total_seconds()))

    def deleted(self, deleted: Deleted) -> None:
        """Count a deletion that ended."""
        self._deleted.labels(deleted.hour.controller).inc()

    def retention_succeeded(self) -> None:
        """Note that a whole retention round went well."""
        self._retention_at.set(self._clock.now().timestamp())

    async def keep_looking(self, sights: Sights) -> None:
        """Look round after round until cancelled; a failure leaves what was shown last."""
        while True:
            try:
                await self.look(sights)
            except PlatformError as error:
                log.warning("metrics_waiting", reason=error.reason, error=error.message)
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self, sights: Sights) -> None:
        """Look once."""
        now_ms = to_ms(self._clock.now())
        shown: dict[tuple[str, ...], float] = {}
        for controller in {controller for controller, _ in await sights.terms.live_cameras()}:
            found = await sights.coverage.of_controller(controller, "", (now_ms - HOUR_MS, now_ms))
            for name in BALANCES:
                shown[controller, name] = sum(total_ms(getattr(one.balance, name)) for one in found) / 1000
        self._coverage.show(shown)
        self._keys_alive.set(await sights.hours.keys_alive())
        self._unfinished.set(len(await sights.hours.unfinished()))
        self._seals_pending.set(len(await sights.footage.unsealed(hour_of(from_ms(now_ms - SETTLING_MS)))))
