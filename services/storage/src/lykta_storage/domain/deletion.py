"""Deletion of a camera-hour: when it is due, the steps it goes through, and what its receipt says."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from lykta_storage.domain.footage import HOUR_MS, CameraHour


class HourState(StrEnum):
    """Where a camera-hour stands; a step is repeated until the next one is reached."""

    OPEN = "open"
    KEY_DESTROYED = "key_destroyed"
    OBJECTS_DELETED = "objects_deleted"
    DELETED = "deleted"


@dataclass(frozen=True)
class Deletion:
    """A deletion that its receipt in the log tells of; `recipient` is the public half of the destroyed key."""

    hour: CameraHour
    recipient: str
    destroyed_ms: int
    policy: str


def is_due(hour: CameraHour, retention_hours: int, now_ms: int) -> bool:
    """Say whether the last minute of an hour has reached its retention."""
    return hour.span()[1] + retention_hours * HOUR_MS <= now_ms


def segments_digest(segment_ids: Iterable[str]) -> str:
    """Digest the ids of what was deleted: SHA-256 over the sorted ids, each followed by a line feed, in hex."""
    return sha256("".join(f"{name}\n" for name in sorted(segment_ids)).encode()).hexdigest()


def receipt_id(hour: CameraHour, destroyed_ms: int, late_segment: str = "") -> str:
    """Name the audit entry of a deletion; the same deletion always has the same name."""
    name = f"footage.hour.deleted/{hour.controller}/{hour.camera}/{hour.hour}/{destroyed_ms}"
    return f"{name}/{sha256(late_segment.encode()).hexdigest()[:16]}" if late_segment else name


def seal_entry_id(hour: CameraHour, run: str, count: int) -> str:
    """Name the audit entry of a sealed root; the same root always has the same name."""
    return f"footage.hour.sealed/{hour.controller}/{hour.camera}/{hour.hour}/{run}/{count}"
