"""What the recorder shows of itself to a scraper: cameras, spool, fragments, uploads, gaps and mandates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from lykta_common.clock import Clock
from lykta_common.metrics import Family, Metrics, Total
from lykta_contracts.events import CloudEvent, GapDeclared
from lykta_contracts.mandates import MandateOrder

from lykta_ingest.domain import CameraRef, State
from lykta_ingest.drafts import FragmentDraft, GapDraft
from lykta_ingest.journal import Journal
from lykta_ingest.keeping import Keeper
from lykta_ingest.live import LiveParts
from lykta_ingest.session import CameraSession

LOOK_SECONDS = 5.0


class IngestMetrics:
    """The metrics of ingest; labels name cameras and causes."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        camera = ("controller", "camera")
        self._clock = clock
        self._sessions = Family(metrics.gauge("sessions", "Cameras by what the recorder does with them", ["state"]))
        self._due = Family(metrics.gauge("camera_due", "1 while the mandate wants the camera recorded", camera))
        self._recording = Family(metrics.gauge("camera_recording", "1 while this recorder records the camera", camera))
        self._valid_until = Family(
            metrics.gauge("mandate_valid_until_timestamp_seconds", "When the camera's order runs out", camera)
        )
        self._spool = metrics.gauge("spool_bytes", "Bytes that the spool holds")
        self._spool_limit = metrics.gauge("spool_limit_bytes", "Bytes that the spool may hold")
        self._waiting = metrics.gauge("fragments_waiting", "Fragments in the spool that storage has not confirmed")
        self._fragments = metrics.counter("fragments", "Fragments made durable in the spool")
        self._fragment_bytes = metrics.counter("fragment_bytes", "Bytes of fragments made durable in the spool")
        self._segments = metrics.counter("segments_uploaded", "Segment objects written to the object store")
        self._gaps = metrics.counter("gap_seconds", "Allowed time that was declared missing", ["controller", "cause"])
        self._refused = Total(metrics.counter("spool_refusals", "Records that the spool did not take"))
        self._parts_dropped = Total(metrics.counter("live_parts_dropped", "Live parts that nobody could take"))

    def kept(self, draft: FragmentDraft | GapDraft) -> None:
        """Count what was made durable just now."""
        if isinstance(draft, FragmentDraft) and draft.fragment is not None:
            self._fragments.inc()
            self._fragment_bytes.inc(draft.fragment.length)
        for event in draft.events:
            self._declared(event)

    def uploaded(self, ref: CameraRef) -> None:
        """Count a segment object."""
        self._segments.inc()

    async def keep_looking(
        self, sessions: Mapping[CameraRef, CameraSession], journal: Journal, keeper: Keeper, live: LiveParts
    ) -> None:
        """Look at cameras and spool round after round until cancelled."""
        while True:
            self.look(sessions)
            self._spool.set(journal.used_bytes)
            self._spool_limit.set(journal.max_bytes)
            self._refused.show(keeper.lost_drafts)
            self._parts_dropped.show(live.dropped)
            await self._clock.sleep(LOOK_SECONDS)

    def look(self, sessions: Mapping[CameraRef, CameraSession]) -> None:
        """Look at the cameras once."""
        now = self._clock.now()
        orders = {ref: one.order for ref, one in sessions.items() if one.order and one.order.status == "live"}
        self._sessions.count((one.status.state for one in sessions.values()), known=State)
        self._due.show({tuple(ref): float(is_due(order, now)) for ref, order in orders.items()})
        self._recording.show({tuple(ref): float(sessions[ref].status.state is State.RECORDING) for ref in orders})
        self._valid_until.show({tuple(ref): order.mandate.valid_to.timestamp() for ref, order in orders.items()})
        self._waiting.set(sum(one.status.fragments_spooled for one in sessions.values()))

    def _declared(self, event: CloudEvent) -> None:
        gap = GapDeclared.model_validate(event.data)
        seconds = (gap.to_at - gap.from_at).total_seconds()
        self._gaps.labels(gap.controller, gap.cause.value).inc(seconds)


def is_due(order: MandateOrder, now: datetime) -> bool:
    """Say whether a mandate wants its camera recorded now."""
    return bool(order.mandate.allowed_intervals(now, now + timedelta(seconds=1)))
