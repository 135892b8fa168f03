"""The recorder's decisions: which orders to take, what is missing and must be declared, what a segment holds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from lykta_contracts.instants import from_ms, to_ms
from lykta_contracts.mandates import MandateOrder

LEAST_GAP_MS = 100
"""A hole shorter than this lies between two frames of a slow camera; it is not declared."""


class CameraRef(NamedTuple):
    """A camera of a controller."""

    controller: str
    camera: str

    @property
    def key(self) -> str:
        """`<controller>.<camera>`, the key in KV buckets and the subject in the journal."""
        return f"{self.controller}.{self.camera}"


class State(StrEnum):
    """What the recorder does with a camera (names of the proto enum without its prefix)."""

    RECORDING = "RECORDING"
    CONNECTING = "CONNECTING"
    NOT_ALLOWED = "NOT_ALLOWED"
    LEASED_ELSEWHERE = "LEASED_ELSEWHERE"
    FAILED = "FAILED"
    NO_KEY = "NO_KEY"


@dataclass(slots=True)
class Status:
    """One camera as people see it."""

    state: State = State.CONNECTING
    detail: str = ""
    mandate_id: str = ""
    recorded_to_ms: int = 0
    segments_uploaded: int = 0
    fragments_spooled: int = 0
    frames: int = 0
    codec: str = ""
    width: int = 0
    height: int = 0
    clock_offset_ms: int = 0


class Why(NamedTuple):
    """The cause of a gap (a `GapCause` value), and for people what happened."""

    cause: str
    detail: str


class Missing(NamedTuple):
    """A stretch that was allowed and is not recorded, unix milliseconds."""

    from_ms: int
    to_ms: int


def refusal_of(order: MandateOrder, key: str, held: MandateOrder | None) -> str | None:
    """Say why an order with a good signature must not be obeyed; None when it may. `key` is where it was found."""
    if key != f"{order.controller}.{order.camera}":
        return f"the order is for camera {order.controller}.{order.camera}, not for {key}"
    if held is not None and order.serial < held.serial:
        return f"the order has serial {order.serial}, but serial {held.serial} is already obeyed (a replay?)"
    if held is not None and order.serial == held.serial and order != held:
        return f"two different orders carry serial {order.serial}"
    return None


def missing(order: MandateOrder, start_ms: int, end_ms: int) -> list[Missing]:
    """Return the stretches of `[start, end)` in which the mandate wanted the camera recorded, without trifles."""
    if end_ms - start_ms < LEAST_GAP_MS:
        return []
    spans = order.mandate.allowed_intervals(from_ms(start_ms), from_ms(end_ms))
    found = [Missing(to_ms(low), to_ms(high)) for low, high in spans]
    return [one for one in found if one.to_ms - one.from_ms >= LEAST_GAP_MS]


def duty_begins(order: MandateOrder) -> int:
    """Return from when an order obliges to record: when it was issued, or when it becomes valid (unix ms)."""
    return to_ms(max(order.issued_at, order.mandate.valid_from))


def next_change(order: MandateOrder, now: datetime, horizon: datetime) -> datetime:
    """Return when recording will next be allowed, at most the horizon."""
    if order.status != "live":
        return horizon
    spans = order.mandate.allowed_intervals(now, horizon)
    return spans[0][0] if spans else horizon


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for all fragments of a segment."""

    controller: str
    camera: str
    place: str
    mandate_id: str
    mandate_version: int
    fencing_token: int
    epoch: int
    codec: str
    width: int
    height: int

    @property
    def ref(self) -> CameraRef:
        """The camera."""
        return CameraRef(self.controller, self.camera)


@dataclass(frozen=True, slots=True)
class Fragment:
    """All that is kept of a fragment beside its bytes; the journal's metadata."""

    terms: Terms
    segment_id: str
    hour: str
    run: str
    leaf: int
    root: str
    sha256: str
    cipher_sha256: str
    plain_length: int
    init_length: int
    length: int
    from_ms: int
    to_ms: int
    decode_time: int
    frames: int
    damaged: bool
    clock: tuple[str, int, int] = ("arrival", 0, 0)
    traceparent: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """The journal key: all fragments of a segment share it."""
        return segment_key(self.terms.controller, self.segment_id)

    def to_json(self) -> bytes:
        """Encode for the journal."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, raw: bytes) -> Fragment:
        """Decode what `to_json` wrote; raises ValueError, KeyError or TypeError for anything else."""
        values = json.loads(raw)
        values["terms"] = Terms(**values["terms"])
        values["clock"] = tuple(values["clock"])
        return cls(**values)


def segment_key(controller: str, segment_id: str) -> str:
    """Name a segment in the journal."""
    return f"{controller}/{segment_id}"
