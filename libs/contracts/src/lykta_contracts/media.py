"""Footage on the wire: fragment index, seal, media keys and leases (docs/design/wire.md)."""

import json
from enum import StrEnum
from typing import Final, Literal

from pydantic import Field

from lykta_contracts.instants import Instant, hour_start
from lykta_contracts.model import Message

MEDIA_KEY_TYPE: Final = "application/vnd.lykta.media-key+json"
TRAILER_MAGIC: Final = b"LYKTAIX1"
TIME_SCALE: Final = 90_000

HEADER_EPOCH: Final = "Lykta-Epoch"
HEADER_FROM: Final = "Lykta-From"
HEADER_KEY: Final = "Lykta-Key"
HEADER_INIT: Final = "Lykta-Init"
HEADER_MANDATE: Final = "Lykta-Mandate"


class GapCause(StrEnum):
    """Why time that should have been recorded was not."""

    CAMERA = "CAMERA"
    NETWORK = "NETWORK"
    PLATFORM = "PLATFORM"
    DISK = "DISK"
    MAINTENANCE = "MAINTENANCE"
    CLOCK = "CLOCK"
    UNKNOWN = "UNKNOWN"


class CameraClock(Message):
    """What is known of the camera's clock; offset = camera minus platform, milliseconds."""

    source: Literal["rtcp", "arrival"] = "arrival"
    offset_ms: int = 0
    uncertainty_ms: int = 0


class FragmentEntry(Message):
    """One fragment in a segment object."""

    offset: int = Field(ge=0, description="of the age file in the object, bytes")
    length: int = Field(gt=0, description="of the age file, bytes")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the plaintext: evidence")
    cipher_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the age file: store")
    plain_length: int = Field(gt=0, description="bytes")
    init_length: int = Field(gt=0, description="leading ftyp and moov in the plaintext, bytes")
    from_at: Instant
    to_at: Instant
    decode_time: int = Field(ge=0, description="baseMediaDecodeTime, 1/90000 s since the epoch")
    frames: int = Field(gt=0)
    damaged: bool = Field(default=False, description="packets of it were lost on the way from the camera")


class Seal(Message):
    """The recorder's signed Merkle root over the hour so far."""

    run: str
    first_leaf: int = Field(ge=0, description="leaf of this segment's first fragment")
    count: int = Field(gt=0, description="leaves under the root")
    root: str = Field(pattern="^[0-9a-f]{64}$")
    key_id: str
    signature: str = Field(description="Ed25519, base64")


class SegmentIndex(Message):
    """All that is known of a segment; the trailer of its object, and the data of its event."""

    segment_id: str
    controller: str
    camera: str
    place: str
    mandate_id: str
    mandate_version: int
    epoch: int
    hour: str
    fencing_token: int
    from_at: Instant
    to_at: Instant
    codec: str
    width: int
    height: int
    clock: CameraClock
    fragments: tuple[FragmentEntry, ...] = Field(min_length=1)
    seal: Seal


class MediaKey(Message):
    """The public half of a camera-hour key."""

    controller: str
    camera: str
    hour: str = Field(pattern=r"^\d{8}T\d{2}$")
    recipient: str = Field(pattern="^age1[0-9a-z]+$", description="age X25519 recipient")


class Lease(Message):
    """Who records a camera; the fencing token is the revision of the KV entry.

    Once the holder gave it up it is `free` for anyone. Until `covered_to` the holder has recorded the camera's time or
    declared it missing; whoever takes over accounts for it from there.
    """

    holder: str
    taken_at: Instant
    covered_to: Instant | None = None
    free: bool = False


def object_key(controller: str, camera: str, hour: str, segment_id: str) -> str:
    """Name the object of a segment."""
    return f"{hour_prefix(controller, camera, hour)}{segment_id}"


def hour_prefix(controller: str, camera: str, hour: str) -> str:
    """Return the common prefix of all objects of a camera-hour, ending in a slash."""
    return f"footage/{controller}/{camera}/{hour_start(hour):%Y/%m/%d/%H}/"


def write_trailer(index: SegmentIndex) -> bytes:
    """Encode the trailer that ends a segment object."""
    body = index.to_json()
    return body + len(body).to_bytes(4, "big") + TRAILER_MAGIC


def read_trailer(tail: bytes) -> SegmentIndex | int:
    """Read the trailer from the end of an object; when the tail is too short, return how many bytes are needed.

    Raises ValueError when it is no trailer.
    """
    if len(tail) < 12 or tail[-8:] != TRAILER_MAGIC:
        raise ValueError("the object does not end in a segment trailer")
    needed = int.from_bytes(tail[-12:-8], "big") + 12
    if len(tail) < needed:
        return needed
    try:
        return SegmentIndex.model_validate(json.loads(tail[-needed:-12]), extra="ignore")
    except UnicodeDecodeError as error:
        raise ValueError("the segment trailer is not UTF-8") from error


def seal_statement(controller: str, camera: str, hour: str, seal: tuple[str, int, str]) -> bytes:
    """Return the bytes a recorder signs; `seal` is run, count and root in hex."""
    run, count, root = seal
    return f"lykta-hour-seal/v1\n{controller}\n{camera}\n{hour}\n{run}\n{count}\n{root}\n".encode()
