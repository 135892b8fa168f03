"""Turns a rule's step into the incident as it is published; pure."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from lykta_contracts.events import IncidentClosed, IncidentOpened, IncidentUpdated
from lykta_contracts.incidents import (
    Box,
    CameraRef,
    Evidence,
    Frame,
    Governance,
    Incident,
    ModelRef,
    PlaceRef,
    Producer,
    RuleRef,
    SeenObject,
)
from lykta_contracts.instants import from_ms, to_wire
from lykta_contracts.mandates import MandateOrder

from lykta_analytics.domain import Sighting, Step
from lykta_analytics.rules import PERSON_IN_ZONE, RULE_VERSION

_EVIDENCE_MARGIN_MS: Final = 5_000
_MOST_OBJECTS: Final = 20
_ONVIF_TOPICS: Final = {
    PERSON_IN_ZONE: "tns1:RuleEngine/FieldDetector/ObjectsInside",
    "camera-obscured": "tns1:VideoSource/GlobalSceneChange/ImagingService",
    "camera-black": "tns1:VideoSource/ImageTooDark/ImagingService",
}
EVENT_MODELS: Final[dict[str, type[Incident]]] = {
    "open": IncidentOpened,
    "update": IncidentUpdated,
    "close": IncidentClosed,
}
"""The event that states each step."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What all incidents of one camera under one mandate have in common; `frame` is width and height in pixels."""

    order: MandateOrder
    frame: tuple[int, int]
    model: ModelRef
    producer: Producer
    thresholds: dict[str, dict[str, float]] = field(default_factory=dict)


def compose(scene: Scene, step: Step, incident_id: str, previous: Incident | None) -> Incident:
    """Writes the incident after a step; `previous` is how it was told last, None for a new one.

    A closing step sees nobody, so that the objects told last stand.
    """
    order, mandate = scene.order, scene.order.mandate
    objects = tuple(_object(sighting) for sighting in step.sightings[:_MOST_OBJECTS])
    uses_model = step.category == PERSON_IN_ZONE
    return EVENT_MODELS[step.kind](
        incident_id=incident_id,
        controller=order.controller,
        lifecycle=step.kind,
        severity=step.severity,
        category=step.category,
        onvif_topic=_ONVIF_TOPICS.get(step.category, ""),
        started_at=from_ms(step.started_ms),
        ended_at=None if step.ended_ms is None else from_ms(step.ended_ms),
        observed_at=from_ms(step.observed_ms),
        camera=CameraRef(id=order.camera, frame=Frame(width=scene.frame[0], height=scene.frame[1])),
        place=PlaceRef(id=mandate.place, zone_ids=step.zones, entered_zone_ids=step.entered),
        rule=RuleRef(
            id=step.rule_key.partition(":")[0],
            version=RULE_VERSION,
            thresholds=scene.thresholds.get(step.rule_key, {}),
        ),
        objects=objects or (previous.objects if previous else ()),
        counts=step.counts,
        model=scene.model if uses_model else ModelRef(),
        evidence=(_evidence(order, step.started_ms, step.ended_ms or step.observed_ms),),
        governance=Governance(mandate_id=mandate.mandate_id, mandate_version=mandate.version, purpose=mandate.purpose),
        producer=scene.producer,
        changed=step.changed,
    )


def close_as_told(previous: Incident, last_seen_ms: int, now_ms: int, reason: str) -> Incident:
    """Writes the end of an incident from what was told last: its mandate ended, or its rule is gone."""
    ended_ms = min(last_seen_ms, now_ms)
    values = previous.model_dump() | {
        "lifecycle": "close",
        "ended_at": from_ms(ended_ms),
        "observed_at": from_ms(now_ms),
        "changed": ("ended_at", reason),
    }
    return IncidentClosed.model_validate(values)


def top_confidence(incident: Incident) -> float:
    """The highest confidence of any of its objects; 0 where there are none."""
    return max((item.top_confidence for item in incident.objects), default=0.0)


def _object(sighting: Sighting) -> SeenObject:
    track, region = sighting.track, sighting.track.region
    return SeenObject(
        track_id=track.track_id,
        label=track.label,
        confidence=round(min(1.0, track.confidence), 4),
        top_confidence=round(min(1.0, track.top_confidence), 4),
        bbox=Box(x1=round(region.x1, 4), y1=round(region.y1, 4), x2=round(region.x2, 4), y2=round(region.y2, 4)),
        stationary=track.stationary,
        zones=sighting.zones,
        dwell_s=sighting.dwell_ms / 1000,
    )


def _evidence(order: MandateOrder, from_at_ms: int, to_at_ms: int) -> Evidence:
    start, end = from_ms(from_at_ms - _EVIDENCE_MARGIN_MS), from_ms(to_at_ms + _EVIDENCE_MARGIN_MS)
    query = urlencode({"from": to_wire(start), "to": to_wire(end)}, safe=":")
    return Evidence(uri=f"footage://{order.controller}/{order.camera}?{query}", from_at=start, to_at=end)
