"""Writing the incident book: every step of a rule becomes at most one event, and no incident is told twice."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from lykta_common.clock import Clock
from lykta_common.ids import new_id
from lykta_common.logging import get_logger
from lykta_contracts.events import CameraTampered, new_event, read_event
from lykta_contracts.incidents import Incident
from lykta_contracts.instants import to_ms
from lykta_contracts.model import Message

from lykta_analytics.domain import Resumed, Step
from lykta_analytics.incidents import Scene, close_as_told, compose, top_confidence
from lykta_analytics.rules import CAMERA_OBSCURED
from lykta_analytics.store import BookRow, BookStore

log = get_logger(__name__)

_TAMPER_KINDS: Final[dict[str, Literal["obscured", "black"]]] = {
    "camera-obscured": "obscured",
    "camera-black": "black",
}


@dataclass
class IncidentBook:
    """Records steps; `told` is called with each row after it was committed, `on_commit` with its incident.

    `source` names this replica in events.
    """

    store: BookStore
    clock: Clock
    source: str
    told: Sequence[Callable[[BookRow], None]] = field(default=())
    on_commit: Callable[[Incident], None] = lambda _: None

    async def record(self, scene: Scene, step: Step, traceparent: str = "") -> BookRow | None:
        """Writes one step; None when it says nothing new (an update or end of an incident that is closed already).

        An opening that finds an open incident of the same rule becomes its update: an incident is never doubled.
        Raises `PlatformError` UNAVAILABLE; safe to repeat then.
        """
        order = scene.order
        known = await self.store.open_one(order.controller, order.camera, step.rule_key)
        if known is None and step.kind != "open":
            return None
        if known is not None and step.kind == "open":
            step = replace(step, kind="update", started_ms=known.started_ms, changed=("objects",))
        previous = told_incident(known) if known else None
        incident = compose(scene, step, known.incident_id if known else new_id("inc", self.clock), previous)
        row = self._next(known, step.rule_key, incident, traceparent)
        row = replace(row, last_seen_ms=step.ended_ms or step.observed_ms)
        return await self._write(row, incident, known is None)

    async def resume(self, controller: str, camera: str) -> dict[str, Resumed]:
        """What each rule of a camera must know of its open incident, by rule."""
        rows = await self.store.open_of(controller, camera)
        return {row.rule_key: _resumed(row, told_incident(row)) for row in rows}

    async def close(self, controller: str, camera: str, reason: str, keep: Collection[str] = ()) -> int:
        """Ends the open incidents of a camera except those of the rules to keep; answers how many it ended."""
        rows = await self.store.open_of(controller, camera)
        return await self._close([row for row in rows if row.rule_key not in keep], reason)

    async def close_where_not(self, covered: Collection[tuple[str, str]], reason: str) -> int:
        """Ends open incidents of every camera (controller, camera) that is not covered any more."""
        rows = await self.store.open_of()
        return await self._close([row for row in rows if (row.controller, row.camera) not in covered], reason)

    async def _close(self, rows: Sequence[BookRow], reason: str) -> int:
        now_ms = to_ms(self.clock.now())
        for row in rows:
            incident = close_as_told(told_incident(row), row.last_seen_ms, now_ms, reason)
            await self._write(self._next(row, row.rule_key, incident, row.event.traceparent), incident, new=False)
        return len(rows)

    def _next(self, known: BookRow | None, rule_key: str, incident: Incident, traceparent: str) -> BookRow:
        number = known.step + 1 if known else 1
        event_id = f"{incident.incident_id}.{number}"
        event = new_event(incident, event_id, self.source, self.clock.now(), traceparent)
        return BookRow(
            incident_id=incident.incident_id,
            controller=incident.controller,
            camera=incident.camera.id,
            rule_key=rule_key,
            is_open=incident.lifecycle != "close",
            step=number,
            started_ms=to_ms(incident.started_at),
            last_seen_ms=known.last_seen_ms if known else to_ms(incident.observed_at),
            confidence=max(top_confidence(incident), known.confidence if known else 0.0),
            event=event.model_copy(update={"sequence": str(number)}),
        )

    async def _write(self, row: BookRow, incident: Incident, new: bool) -> BookRow | None:
        events = [row.event]
        tampered = _tampered(row, incident)
        if tampered is not None:
            event_id = f"{row.event.id}.tampered"
            events.append(new_event(tampered, event_id, self.source, row.event.time, row.event.traceparent))
        done = await (self.store.add(row, events) if new else self.store.change(row, events))
        if not done:
            log.warning("incident_step_lost_race", incident_id=row.incident_id, step=row.step)
            return None
        latency_ms = to_ms(self.clock.now()) - to_ms(incident.observed_at)
        log.info(
            "incident_committed",
            incident_id=row.incident_id,
            lifecycle=incident.lifecycle,
            category=incident.category,
            latency_ms=latency_ms,
        )
        self.on_commit(incident)
        for tell in self.told:
            tell(row)
        return row


def told_incident(row: BookRow) -> Incident:
    """The incident as it was told last."""
    _, data = read_event(row.event.to_json())
    if not isinstance(data, Incident):
        raise TypeError(f"row {row.incident_id} holds no incident")
    return data


def _resumed(row: BookRow, incident: Incident) -> Resumed:
    return Resumed(row.started_ms, row.last_seen_ms, incident.category, dict(incident.counts), incident.place.zone_ids)


def _tampered(row: BookRow, incident: Incident) -> Message | None:
    """The health fact beside an incident about the picture itself: what it is, or that it is over."""
    if row.rule_key != CAMERA_OBSCURED or incident.lifecycle == "update":
        return None
    kind = "restored" if incident.lifecycle == "close" else _TAMPER_KINDS[incident.category]
    return CameraTampered(
        controller=row.controller, camera=row.camera, kind=kind, observed_at=incident.ended_at or incident.observed_at
    )
