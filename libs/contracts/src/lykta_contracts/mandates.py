"""The mandate: the documented, approved and signed decision behind a surveillance, and the order to recorders."""

from datetime import datetime, timedelta
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from lykta_contracts.ids import SLUG_PATTERN
from lykta_contracts.instants import Instant
from lykta_contracts.model import Message
from lykta_contracts.schedule import Schedule, intervals

MANDATE_ORDER_TYPE: Final = "application/vnd.lykta.mandate-order+json"
LEGAL_RETENTION_HOURS: Final = 72
"""Above this, retention must be specially motivated (R-06)."""


class Point(Message):
    """A point of the picture, 0 to 1, origin top left."""

    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)


class Zone(Message):
    """A named polygon in the picture."""

    zone_id: str = Field(pattern=SLUG_PATTERN)
    polygon: tuple[Point, ...] = Field(min_length=3, max_length=64)


class Analytic(Message):
    """One analytic that the mandate allows, with its parameters."""

    detector: str = Field(pattern=SLUG_PATTERN, description="e.g. person-in-zone")
    zones: tuple[Zone, ...] = ()
    min_confidence: float = Field(default=0.5, ge=0, le=1)
    quiet_seconds: float = Field(default=3.0, gt=0, le=3600, description="closes after this long without an object")
    severity: Literal["info", "low", "medium", "high", "critical"] = "medium"


class LegalGround(Message):
    """Why the surveillance is lawful."""

    kind: Literal["kbl-8-9", "kbl-11-exempt", "kbl-13-temporary"] = "kbl-8-9"
    text: str = Field(min_length=1, description="the balancing test in short, or where it is filed")


class MandateDocument(Message):
    """Everything technical that a decision allows; the signed content."""

    mandate_id: str = ""
    version: int = 0
    controller: str = Field(pattern=SLUG_PATTERN)
    place: str = Field(pattern=SLUG_PATTERN)
    cameras: tuple[str, ...] = Field(min_length=1)
    purpose: str = Field(min_length=1)
    legal_ground: LegalGround
    hours: Schedule = Schedule()
    retention_hours: int = Field(default=LEGAL_RETENTION_HOURS, ge=1, le=24 * 60)
    retention_motivation: str = ""
    audio: bool = False
    analytics: tuple[Analytic, ...] = ()
    live_viewers: tuple[str, ...] = ()
    valid_from: Instant
    valid_to: Instant
    review_at: Instant

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.valid_to <= self.valid_from:
            raise ValueError("valid_to must be after valid_from")
        if self.retention_hours > LEGAL_RETENTION_HOURS and not self.retention_motivation.strip():
            raise ValueError(f"retention above {LEGAL_RETENTION_HOURS} h needs retention_motivation")
        if self.audio:
            raise ValueError("audio is not supported; set audio to false")
        if len(set(self.cameras)) != len(self.cameras):
            raise ValueError("a camera is listed twice")
        return self

    def allowed_intervals(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """Return the UTC intervals within `[start, end)` in which this mandate allows recording, in order."""
        return intervals(self.hours, max(start, self.valid_from), min(end, self.valid_to))


class MandateOrder(Message):
    """What a recorder obeys for one camera; a higher serial replaces a lower one."""

    controller: str
    camera: str
    serial: int = Field(ge=1)
    status: Literal["live", "ended"]
    mandate: MandateDocument
    camera_address: str = Field(description="rtsp:// address without credentials")
    credentials_ref: str = ""
    issued_at: Instant

    @model_validator(mode="after")
    def _same_camera(self) -> Self:
        if self.controller != self.mandate.controller or self.camera not in self.mandate.cameras:
            raise ValueError("the order's camera is not in its mandate")
        return self

    def covers(self, instant: datetime) -> bool:
        """Say whether the camera may be recorded at the instant."""
        return self.allowed_until(instant) is not None

    def allowed_until(self, instant: datetime) -> datetime | None:
        """Return until when recording is allowed without a break from the instant (≤ 8 days); None when it is not."""
        if self.status != "live":
            return None
        spans = self.mandate.allowed_intervals(instant, instant + timedelta(days=8))
        return spans[0][1] if spans and spans[0][0] == instant else None
