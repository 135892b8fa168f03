"""Catalogue values: segments and fragments as they lie in the store."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from lykta_contracts.instants import from_ms, hour_of, hour_start, to_ms

from lykta_storage.domain.spans import Span

HOUR_MS = 3_600_000
LONGEST_FRAGMENT_MS = 600_000
"""A GOP longer than this is refused, so that a search by time is bounded."""


class CameraHour(NamedTuple):
    """A camera-hour, the unit of keys, seals and deletion; `hour` is UTC `yyyymmddThh`."""

    controller: str
    camera: str
    hour: str

    def span(self) -> Span:
        """Return its first and its last instant."""
        start = to_ms(hour_start(self.hour))
        return start, start + HOUR_MS


class SegmentState(StrEnum):
    """Where a segment stands."""

    STORED = "stored"
    DELETED = "deleted"


@dataclass(frozen=True)
class SealedFragment:
    """One fragment of the catalogue with its segment's facts; `leaf` counts from 0 in `(hour, run)`."""

    segment_id: str
    hour: str
    epoch: int
    codec: str
    fencing_token: int
    mandate_id: str
    mandate_version: int
    run: str
    leaf: int
    object_key: str
    offset: int
    length: int
    sha256: str
    cipher_sha256: str
    init_length: int
    from_ms: int
    to_ms: int
    state: SegmentState

    @property
    def span(self) -> Span:
        """When it was filmed."""
        return self.from_ms, self.to_ms


@dataclass(frozen=True)
class DeclaredGap:
    """A gap that a recorder declared; `cause` is a GapCause."""

    gap_id: str
    from_ms: int
    to_ms: int
    cause: str

    @property
    def span(self) -> Span:
        """When it was."""
        return self.from_ms, self.to_ms


@dataclass(frozen=True)
class SegmentSummary:
    """What a listing says of a segment."""

    segment_id: str
    controller: str
    camera: str
    from_ms: int
    to_ms: int
    fragments: int
    size_bytes: int
    codec: str
    state: SegmentState
    mandate_id: str
    object_key: str


@dataclass(frozen=True)
class LeafSeal:
    """A recorder's signed root over the first `count` leaves of a run in an hour; `to_ms` ends the last of them."""

    count: int
    root: str
    key_id: str
    signature: str
    to_ms: int


@dataclass(frozen=True)
class SealedRoot:
    """A root that is in the audit log."""

    count: int
    root: str
    key_id: str
    signature: str
    audit_entry_id: str
    audit_index: int


def hours_between(start_ms: int, end_ms: int) -> list[str]:
    """Name every UTC hour that overlaps `[start_ms, end_ms)`, in order."""
    first = start_ms // HOUR_MS * HOUR_MS
    return [hour_of(from_ms(instant)) for instant in range(first, end_ms, HOUR_MS)]
