"""The incident as published: a superset of the peers' events, with no field for a face, plate, age or embedding."""

from typing import Literal

from pydantic import Field

from lykta_contracts.instants import Instant
from lykta_contracts.media import CameraClock
from lykta_contracts.model import Message

Lifecycle = Literal["open", "update", "close", "retract"]
Status = Literal["potential", "confirmed", "rejected", "expired"]
Severity = Literal["info", "low", "medium", "high", "critical"]


class Frame(Message):
    """Picture size in pixels."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)


class CameraRef(Message):
    """The camera and the stream that was looked at."""

    id: str
    stream: Literal["main", "sub"] = "main"
    frame: Frame
    location: str = ""


class PlaceRef(Message):
    """The place and its zones."""

    id: str
    zone_ids: tuple[str, ...] = ()
    entered_zone_ids: tuple[str, ...] = ()


class RuleRef(Message):
    """The rule that noticed it."""

    id: str
    version: int = 1
    thresholds: dict[str, float] = Field(default_factory=dict)


class Box(Message):
    """Corners, 0 to 1, origin top left."""

    x1: float
    y1: float
    x2: float
    y2: float


class SeenObject(Message):
    """One object; its track id lives within one camera and one day."""

    track_id: str
    label: str
    confidence: float = Field(ge=0, le=1)
    top_confidence: float = Field(ge=0, le=1)
    bbox: Box
    stationary: bool = False
    zones: tuple[str, ...] = ()
    dwell_s: float = 0


class ModelRef(Message):
    """The model that saw it; all empty where the rule needs none."""

    name: str = ""
    version: str = ""
    sha256: str = ""
    runtime: str = ""


class Evidence(Message):
    """A reference that still needs a grant: `footage://controller/camera?from=…&to=…`."""

    kind: Literal["footage"] = "footage"
    uri: str
    from_at: Instant
    to_at: Instant
    sha256: str = ""
    masked: bool = False


class CoverageRef(Message):
    """Whether the footage behind it is complete."""

    complete: bool = True
    gaps: tuple[str, ...] = ()


class Governance(Message):
    """The mandate under which it was noticed."""

    mandate_id: str
    mandate_version: int
    purpose: str
    retention_class: str = "standard"
    hold: str = ""


class Producer(Message):
    """The service that noticed it."""

    service: str
    version: str
    fencing_token: int = 0


class Incident(Message):
    """Something an analytic noticed; advisory until a person reviews it."""

    incident_id: str
    controller: str
    lifecycle: Lifecycle
    status: Status = "potential"
    severity: Severity
    category: str
    onvif_topic: str = ""
    started_at: Instant
    ended_at: Instant | None = None
    observed_at: Instant
    clock: CameraClock = CameraClock()
    camera: CameraRef
    place: PlaceRef
    rule: RuleRef
    objects: tuple[SeenObject, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)
    model: ModelRef = ModelRef()
    evidence: tuple[Evidence, ...] = ()
    coverage: CoverageRef = CoverageRef()
    governance: Governance
    producer: Producer
    changed: tuple[str, ...] = ()
