"""Identifiers: opaque strings, one NewType each; slugs are chosen by people, the rest by the platform."""

import re
from typing import Final, NewType

ControllerId = NewType("ControllerId", str)
PlaceId = NewType("PlaceId", str)
CameraId = NewType("CameraId", str)
MandateId = NewType("MandateId", str)
CaseId = NewType("CaseId", str)
GrantId = NewType("GrantId", str)
IncidentId = NewType("IncidentId", str)
SegmentId = NewType("SegmentId", str)
PersonId = NewType("PersonId", str)

# Lower case because the ids become NATS subject tokens, KV keys and object keys; 63 as in DNS labels.
SLUG_PATTERN: Final = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
_SLUG = re.compile(SLUG_PATTERN)

PLATFORM: Final = ControllerId("platform")
"""The subject token where a fact belongs to no controller; not a valid controller."""


def is_slug(text: str) -> bool:
    """Say whether the text may name a controller, place or camera."""
    return bool(_SLUG.fullmatch(text)) and text != PLATFORM


def segment_id(camera: str, epoch: int, first_from_ms: int) -> SegmentId:
    """Name a segment by camera, epoch (unix ms) and the start of its first fragment (unix ms)."""
    return SegmentId(f"{camera}.{epoch}.{first_from_ms}")
