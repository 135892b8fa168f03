"""What access-control shows of itself to a scraper: decisions, mandates by state, and when orders run out."""

from lykta_common.clock import Clock
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.metrics import Family, Metrics

from lykta_access_control.domain.decision import Decision
from lykta_access_control.domain.mandates import MandateState
from lykta_access_control.store.change import Store

log = get_logger(__name__)

LOOK_SECONDS = 30.0


class AccessMetrics:
    """The metrics of access-control; labels name controllers and reasons, never persons, cases or grants."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._clock = clock
        self.outbox_pending = metrics.outbox_pending()
        self._decisions = metrics.counter("decisions", "Questions answered", ["allowed", "reason"])
        self._decision_seconds = metrics.latency("decision_seconds", "Time of one answer")
        self._mandates = Family(metrics.gauge("mandates", "Versions of mandates by state", ["controller", "state"]))
        self._cameras = Family(metrics.gauge("cameras_ordered", "Cameras with a live order", ["controller"]))
        self._expiry = Family(
            metrics.gauge(
                "mandate_expiry_timestamp_seconds",
                "When the first mandate runs out of those under which cameras record",
                ["controller"],
            )
        )

    def decided(self, decision: Decision, seconds: float) -> None:
        """Count an answer, and how long it took."""
        reason = decision.refusal.reason if decision.refusal is not None else ""
        self._decisions.labels("true" if decision.allowed else "false", reason).inc()
        self._decision_seconds.observe(seconds)

    async def keep_looking(self, store: Store) -> None:
        """Look at the mandates round after round until cancelled; a failure leaves what was shown last."""
        while True:
            try:
                await self.look(store)
            except PlatformError as error:
                log.warning("metrics_waiting", reason=error.reason, error=error.message)
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self, store: Store) -> None:
        """Look once."""
        async with store.reading() as rows:
            states = await rows.mandates.states()
            in_force = await rows.mandates.in_force()
        controllers = {controller for controller, _ in states}
        shown: dict[tuple[str, ...], float] = {
            (controller, state.value): float(states.get((controller, state.value), 0))
            for controller in controllers
            for state in MandateState
        }
        self._mandates.show(shown)
        cameras: dict[tuple[str, ...], float] = {}
        expiry: dict[tuple[str, ...], float] = {}
        for document, count in in_force:
            key = (document.controller,)
            cameras[key] = cameras.get(key, 0.0) + count
            expiry[key] = min(expiry.get(key, float("inf")), document.valid_to.timestamp())
        self._cameras.show(cameras)
        self._expiry.show(expiry)
