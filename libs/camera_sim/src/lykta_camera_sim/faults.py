"""The faults a camera can be given on demand, and what each does to its packets."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from lykta_camera_sim.errors import FaultError

_FU_A = 28
_HEAD, _RTP_HEAD = 16, 12

KINDS: Mapping[str, str] = {
    "freeze": "no packets; goes on at the next key frame",
    "hang": "no packets and no answers to requests",
    "drop": "leaves out packets with the given probability (a hole in the sequence numbers)",
    "corrupt": "flips one payload byte of packets with the given probability",
    "reorder": "swaps packets with their neighbour with the given probability",
    "duplicate": "sends packets twice with the given probability",
    "truncate": "leaves out the end of fragmented NAL units with the given probability (no hole in the numbers)",
    "disconnect": "closes every connection at once; mid_frame=true sends half a frame before",
    "refuse": "closes every connection and answers no request",
    "status": "answers DESCRIBE with the given status (302 with location)",
    "clock": "moves the camera's own clock by offset_s (RTCP sender reports)",
    "stale": "makes every Digest nonce handed out so far stale",
}
_AT_ONCE = frozenset(("disconnect", "stale"))
_PACKET_FAULTS = ("truncate", "drop", "corrupt", "reorder", "duplicate")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. It lasts ``seconds``, or until cleared; ``probability`` is per packet (truncate: per NAL unit)."""

    kind: str
    seconds: float | None = None
    probability: float = 1.0
    offset_s: float = 0.0
    status: int = 404
    location: str | None = None
    mid_frame: bool = False

    def __post_init__(self) -> None:
        """Refuses unknown kinds and values out of range."""
        if self.kind not in KINDS:
            raise FaultError(f"unknown fault {self.kind!r}: use one of {', '.join(KINDS)}")
        if self.seconds is not None and not 0 < self.seconds <= 86_400:
            raise FaultError("seconds must lie between 0 and 86400")
        if not 0 <= self.probability <= 1:
            raise FaultError("probability must lie between 0 and 1")
        if not math.isfinite(self.offset_s) or abs(self.offset_s) > 1e9:
            raise FaultError("offset_s must be a number of seconds")
        if not 300 <= self.status <= 599:
            raise FaultError("status must lie between 300 and 599")

    @property
    def is_event(self) -> bool:
        """Whether it happens once, so that there is nothing to clear."""
        return self.kind in _AT_ONCE


def fault_from(values: Mapping[str, Any]) -> Fault:
    """Reads a fault from decoded JSON.

    Raises:
        FaultError: an unknown key, a value of the wrong type, or one out of range.
    """
    known = {one.name: one.type for one in fields(Fault)}
    for name, value in values.items():
        if name not in known:
            raise FaultError(f"unknown key {name!r}: use {', '.join(known)}")
        wanted = _json_type(name)
        if isinstance(value, bool) != (wanted is bool) or not isinstance(value, wanted):
            if value is None and name in ("seconds", "location"):
                continue
            raise FaultError(f"the value of {name!r} has the wrong type")
    if "kind" not in values:
        raise FaultError(f"kind is missing: use one of {', '.join(KINDS)}")
    return Fault(**values)


def _json_type(name: str) -> Any:
    if name in ("kind", "location"):
        return str
    if name == "mid_frame":
        return bool
    return int if name == "status" else (int, float)


class ActiveFaults:
    """The faults of one camera that hold now, at most one per kind; times are those of the event loop."""

    def __init__(self) -> None:
        self._until: dict[str, tuple[Fault, float]] = {}

    def add(self, fault: Fault, now: float) -> None:
        """Starts a fault, in place of an earlier one of its kind."""
        self._until[fault.kind] = (fault, math.inf if fault.seconds is None else now + fault.seconds)

    def clear(self, kind: str | None = None) -> None:
        """Ends one kind of fault, or all; an absent one is no error."""
        if kind is None:
            self._until.clear()
        else:
            self._until.pop(kind, None)

    def get(self, kind: str, now: float) -> Fault | None:
        """Returns the fault of a kind that holds now."""
        if not self._until:
            return None
        found = self._until.get(kind)
        if found is not None and found[1] <= now:
            del self._until[kind]
            return None
        return found[0] if found else None

    def kinds(self, now: float) -> list[str]:
        """Returns the kinds that hold now, sorted."""
        return sorted(kind for kind in list(self._until) if self.get(kind, now))

    def for_packets(self, now: float) -> list[Fault]:
        """Returns the faults that touch packets."""
        if not self._until:
            return []
        return [fault for kind in _PACKET_FAULTS if (fault := self.get(kind, now))]


def damage(packets: list[bytearray], faults: list[Fault], dice: random.Random) -> tuple[list[bytearray], int]:
    """Applies packet faults, truncation first, to the interleaved packets of one frame; the input list is used up.

    Returns what to send and how many sequence numbers the frame takes, what was left out by ``drop`` included.
    """
    used = len(packets)
    for fault in sorted(faults, key=lambda one: _PACKET_FAULTS.index(one.kind)):
        packets = _DAMAGE[fault.kind](packets, fault.probability, dice)
        if fault.kind == "truncate":
            used = len(packets)
    return packets, used


def _drop(packets: list[bytearray], probability: float, dice: random.Random) -> list[bytearray]:
    return [packet for packet in packets if dice.random() >= probability]


def _corrupt(packets: list[bytearray], probability: float, dice: random.Random) -> list[bytearray]:
    for packet in packets:
        if len(packet) > _HEAD and dice.random() < probability:
            packet[dice.randrange(_HEAD, len(packet))] ^= dice.randrange(1, 256)
    return packets


def _reorder(packets: list[bytearray], probability: float, dice: random.Random) -> list[bytearray]:
    for index in range(len(packets) - 1):
        if dice.random() < probability:
            packets[index], packets[index + 1] = packets[index + 1], packets[index]
    return packets


def _duplicate(packets: list[bytearray], probability: float, dice: random.Random) -> list[bytearray]:
    return [packet for one in packets for packet in ([one, one] if dice.random() < probability else [one])]


def _truncate(packets: list[bytearray], probability: float, dice: random.Random) -> list[bytearray]:
    kept: list[bytearray] = []
    cutting = False
    missing = 0
    for packet in packets:
        fragment = packet[_HEAD] & 31 == _FU_A
        if fragment and packet[_HEAD + 1] & 0x80:
            cutting = dice.random() < probability
        elif fragment and cutting:
            missing += 1
            continue
        elif not fragment:
            cutting = False
        number = (int.from_bytes(packet[6:8], "big") - missing) & 0xFFFF
        packet[6:8] = number.to_bytes(2, "big")
        kept.append(packet)
    return kept


_DAMAGE = {"drop": _drop, "corrupt": _corrupt, "reorder": _reorder, "duplicate": _duplicate, "truncate": _truncate}
