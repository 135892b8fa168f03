"""What is seen and what it means: boxes, zones, detections and the steps in the life of a notice; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from lykta_contracts.incidents import Severity

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Region:
    """An upright rectangle in the picture, 0 to 1, origin top left."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        """Area as a share of the picture; 0 for a rectangle turned inside out."""
        return max(0.0, self.x2 - self.x1) * max(0.0, self.y2 - self.y1)

    @property
    def foot(self) -> Point:
        """Where a standing object meets the ground: the middle of the lower edge."""
        return (self.x1 + self.x2) / 2, self.y2

    @property
    def centre(self) -> Point:
        """The middle."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def moved(self, dx: float, dy: float) -> "Region":
        """The same rectangle elsewhere."""
        return Region(self.x1 + dx, self.y1 + dy, self.x2 + dx, self.y2 + dy)


def overlap(a: Region, b: Region) -> float:
    """Intersection over union, 0 to 1; 0 when either has no area."""
    shared = Region(max(a.x1, b.x1), max(a.y1, b.y1), min(a.x2, b.x2), min(a.y2, b.y2)).area
    whole = a.area + b.area - shared
    return shared / whole if whole > 0 and shared > 0 else 0.0


def contains(polygon: Sequence[Point], point: Point) -> bool:
    """Says whether the point lies in the polygon (even-odd rule; corners in order, the last joins the first)."""
    x, y = point
    inside = False
    previous = polygon[-1]
    for corner in polygon:
        (x1, y1), (x2, y2) = previous, corner
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
        previous = corner
    return inside


@dataclass(frozen=True, slots=True)
class Detection:
    """Something a model saw in one picture: a kind of thing and where, never who."""

    label: str
    confidence: float
    region: Region


@dataclass(frozen=True, slots=True)
class Track:
    """One thing followed over pictures of one camera and one day; times are unix ms of media time."""

    track_id: str
    label: str
    region: Region
    confidence: float
    top_confidence: float
    first_ms: int
    last_ms: int
    stationary: bool = False


@dataclass(frozen=True, slots=True)
class Sighting:
    """A tracked thing inside zones of a rule."""

    track: Track
    zones: tuple[str, ...]
    dwell_ms: int


class Condition(StrEnum):
    """What the picture as a whole is like."""

    CLEAR = "clear"
    BLACK = "black"
    OBSCURED = "obscured"


@dataclass(frozen=True, slots=True)
class Step:
    """One step in the life of a notice, as a rule states it; times are unix ms of media time."""

    kind: Literal["open", "update", "close"]
    rule_key: str
    category: str
    severity: Severity
    started_ms: int
    observed_ms: int
    ended_ms: int | None = None
    sightings: tuple[Sighting, ...] = ()
    zones: tuple[str, ...] = ()
    entered: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a rule needs to know of a notice that was open when the service last stopped."""

    started_ms: int
    last_seen_ms: int
    category: str
    counts: dict[str, int] = field(default_factory=dict)
    zones: tuple[str, ...] = ()
