"""Events: CloudEvents 1.0 in JSON, one frozen model per type, and the table of all of them."""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from lykta_contracts.audit import AuditRecord
from lykta_contracts.ids import PLATFORM
from lykta_contracts.incidents import Incident
from lykta_contracts.instants import Instant
from lykta_contracts.media import GapCause, SegmentIndex
from lykta_contracts.model import Message


class SegmentRecorded(Message):
    """A segment object is in the store; from ingest."""

    index: SegmentIndex
    bucket: str
    key: str
    size_bytes: int = Field(gt=0)


class SegmentStored(Message):
    """The catalogue has committed the segment; ingest may free its spool copy."""

    controller: str
    camera: str
    segment_id: str


class SegmentDeleted(Message):
    """A camera-hour is gone: its key first, then its objects."""

    controller: str
    camera: str
    hour: str
    segment_ids: tuple[str, ...]
    policy: str
    audit_entry_id: str


class GapDeclared(Message):
    """Time that should have been recorded and was not."""

    gap_id: str
    controller: str
    camera: str
    from_at: Instant
    to_at: Instant
    cause: GapCause
    detail: str = ""
    fencing_token: int = 0


class CameraConnected(Message):
    """A recording session began."""

    controller: str
    camera: str
    epoch: int
    codec: str
    width: int
    height: int


class CameraLost(Message):
    """A recording session ended against the platform's will."""

    controller: str
    camera: str
    cause: GapCause
    detail: str


class CameraTampered(Message):
    """The picture is obscured or black, or is so no longer."""

    controller: str
    camera: str
    kind: Literal["obscured", "black", "restored"]
    observed_at: Instant


class CameraClockSkewed(Message):
    """The camera's clock is more than 1 s off."""

    controller: str
    camera: str
    offset_ms: int


class MandateApproved(Message):
    """A second person approved a mandate; it is signed and in force."""

    controller: str
    mandate_id: str
    version: int
    cameras: tuple[str, ...]
    approved_by: str


class MandateEnded(Message):
    """A mandate ended; recording stops."""

    controller: str
    mandate_id: str
    cameras: tuple[str, ...]
    ended_by: str
    reason: str


class CaseOpened(Message):
    """A case was opened."""

    controller: str
    case_id: str


class CaseClosed(Message):
    """A case was closed; its grants are revoked."""

    controller: str
    case_id: str


class GrantIssued(Message):
    """A second person approved a grant."""

    controller: str
    grant_id: str
    case_id: str
    cameras: tuple[str, ...]
    expires_at: Instant


class GrantRevoked(Message):
    """A grant ended before its time; streams under it stop."""

    controller: str
    grant_id: str
    reason: str


class ApprovalGiven(Message):
    """A second person said yes."""

    controller: str
    kind: Literal["mandate", "grant"]
    subject_id: str
    approved_by: str


class IncidentOpened(Incident):
    """An incident was noticed."""


class IncidentUpdated(Incident):
    """An open incident changed; `changed` names the fields."""


class IncidentClosed(Incident):
    """An incident is over."""


class IncidentRetracted(Incident):
    """An incident was an error of the platform."""


class AuditObserved(Message):
    """A fact to be logged that does not hold up the one who did it."""

    record: AuditRecord


class CheckpointPublished(Message):
    """A new signed tree head is out."""

    origin: str
    size: int
    root: str
    checkpoint: str


@dataclass(frozen=True)
class EventType:
    """One row of the table: `name` is `<noun>.<past-tense>`."""

    name: str
    version: int
    model: type[Message]

    @property
    def type(self) -> str:
        """CloudEvents `type`."""
        return f"lykta.{self.name}.v{self.version}"

    @property
    def schema(self) -> str:
        """CloudEvents `dataschema`."""
        return f"urn:lykta:schema:{self.name}:{self.version}"


EVENT_TYPES: Final = tuple(
    EventType(name, 1, model)
    for name, model in (
        ("segment.recorded", SegmentRecorded),
        ("segment.stored", SegmentStored),
        ("segment.deleted", SegmentDeleted),
        ("gap.declared", GapDeclared),
        ("camera.connected", CameraConnected),
        ("camera.lost", CameraLost),
        ("camera.tampered", CameraTampered),
        ("camera.clock-skewed", CameraClockSkewed),
        ("incident.opened", IncidentOpened),
        ("incident.updated", IncidentUpdated),
        ("incident.closed", IncidentClosed),
        ("incident.retracted", IncidentRetracted),
        ("mandate.approved", MandateApproved),
        ("mandate.ended", MandateEnded),
        ("case.opened", CaseOpened),
        ("case.closed", CaseClosed),
        ("grant.issued", GrantIssued),
        ("grant.revoked", GrantRevoked),
        ("approval.given", ApprovalGiven),
        ("audit.observed", AuditObserved),
        ("checkpoint.published", CheckpointPublished),
    )
)
_BY_MODEL = {row.model: row for row in EVENT_TYPES}
_BY_TYPE = {row.type: row for row in EVENT_TYPES}


class CloudEvent(Message):
    """The envelope (CloudEvents 1.0, JSON format, with the partitioning, sequence and tracing extensions)."""

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(min_length=1, description="deterministic; also Nats-Msg-Id")
    source: str = Field(description="/lykta/<service>/<replica>")
    type: str
    subject: str = Field(description="the NATS subject")
    time: Instant
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str
    partitionkey: str = ""
    sequence: str = ""
    traceparent: str = ""
    data: dict[str, Any]


class UnreadableEventError(ValueError):
    """The bytes are no event this release can read; `reason` is INVALID_FIELD or SCHEMA_VERSION."""

    def __init__(self, reason: Literal["INVALID_FIELD", "SCHEMA_VERSION"], message: str) -> None:
        super().__init__(message)
        self.reason = reason


def event_type(model: type[Message]) -> EventType:
    """Return the row of an event model; raises KeyError when it is none."""
    return _BY_MODEL[model]


def controller_of(data: Message) -> str:
    """Return the controller an event belongs to, or `platform`."""
    if isinstance(data, SegmentRecorded):
        return data.index.controller
    if isinstance(data, AuditObserved):
        return data.record.controller or PLATFORM
    return str(getattr(data, "controller", PLATFORM))


def camera_of(data: Message) -> str:
    """Return the camera an event is about, or the empty string."""
    if isinstance(data, SegmentRecorded):
        return data.index.camera
    camera = getattr(data, "camera", "")
    return camera if isinstance(camera, str) else str(getattr(camera, "id", ""))


def subject_for(data: Message) -> str:
    """Return the NATS subject: `lykta.v1.<controller>.<noun>.<past-tense>[.<camera>]`."""
    camera = camera_of(data)
    return f"lykta.v1.{controller_of(data)}.{event_type(type(data)).name}" + (f".{camera}" if camera else "")


def new_event(data: Message, event_id: str, source: str, occurred_at: Instant, traceparent: str = "") -> CloudEvent:
    """Put a fact into its envelope."""
    row = event_type(type(data))
    return CloudEvent(
        id=event_id,
        source=source,
        type=row.type,
        subject=subject_for(data),
        time=occurred_at,
        dataschema=row.schema,
        partitionkey=camera_of(data),
        traceparent=traceparent,
        data=data.model_dump(mode="json"),
    )


def read_event(raw: bytes) -> tuple[CloudEvent, Message]:
    """Read an event; unknown fields are ignored. Raises UnreadableEventError for anything this release cannot read."""
    try:
        event = CloudEvent.from_json(raw)
    except ValidationError as error:
        raise UnreadableEventError(
            "INVALID_FIELD", f"not a CloudEvent: {error.errors(include_url=False)[0]['msg']}"
        ) from error
    row = _BY_TYPE.get(event.type)
    if row is None:
        raise UnreadableEventError("SCHEMA_VERSION", f"unknown event type {event.type!r}; upgrade this service")
    try:
        return event, row.model.model_validate_json(json.dumps(event.data), extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableEventError("INVALID_FIELD", f"{event.type}: {where}: {first['msg']}") from error
