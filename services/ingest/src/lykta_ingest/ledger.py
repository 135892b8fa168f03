"""One camera's account of time: what is recorded or declared, the hour trees, and where segments begin and end.

It lives in the journal's worker thread. Every step can be taken back, because what it decided may fail to be written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lykta_contracts.ids import segment_id
from lykta_contracts.instants import from_ms, hour_of
from lykta_contracts.mandates import MandateOrder

from lykta_ingest.domain import LEAST_GAP_MS, CameraRef, Missing, Terms, Why, duty_begins, missing, segment_key
from lykta_ingest.seal import HourTree

_HOURS_KEPT = 48


@dataclass(frozen=True, slots=True)
class OpenSegment:
    """The segment that the next fragment may join."""

    segment_id: str
    terms: Terms
    hour: str
    first_from_ms: int
    last_to_ms: int

    @property
    def key(self) -> str:
        """The journal key."""
        return segment_key(self.terms.controller, self.segment_id)


@dataclass(frozen=True, slots=True)
class LedgerState:
    """Everything a step may change; `owed` is the cause of a hole left by a failed write."""

    covered_to_ms: int = 0
    trees: tuple[tuple[str, HourTree], ...] = ()
    segment: OpenSegment | None = None
    owed: Why | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a fragment goes, and which segments are complete because of it."""

    segment_id: str
    hour: str
    leaf: int
    root: bytes
    closed: tuple[str, ...]


class Ledger:
    """The account of one camera for one run of the recorder."""

    def __init__(self, ref: CameraRef, covered_to_ms: int, segment_ms: int) -> None:
        self.ref = ref
        self.state = LedgerState(covered_to_ms)
        self._segment_ms = segment_ms

    def account(self, order: MandateOrder, until_ms: int, why: Why) -> list[tuple[Missing, Why]]:
        """Return what is missing until then, and count it as explained; a trifle is left to what follows it."""
        start = self.state.covered_to_ms or duty_begins(order)
        if until_ms - start < LEAST_GAP_MS:
            return []
        holes = missing(order, start, until_ms)
        because = self.state.owed or why
        self.state = replace(self.state, covered_to_ms=max(start, until_ms), owed=None if holes else self.state.owed)
        return [(hole, because) for hole in holes]

    def skip_to(self, until_ms: int) -> None:
        """Count time as explained that is not ours to explain (no duty, or another recorder's)."""
        self.state = replace(self.state, covered_to_ms=max(self.state.covered_to_ms, until_ms))

    def owe(self, why: Why) -> None:
        """Remember why the next hole exists."""
        self.state = replace(self.state, owed=why)

    def place(self, terms: Terms, span: tuple[int, int], sha256: bytes) -> Placement:
        """Give a fragment its leaf and its segment: a new one after 10 s, at an hour, or when the terms change."""
        start_ms, end_ms = span
        hour = hour_of(from_ms(start_ms))
        trees = dict(self.state.trees)
        tree = trees.get(hour, HourTree())
        grown = trees[hour] = tree.with_leaf(sha256)
        while len(trees) > _HOURS_KEPT:
            del trees[next(iter(trees))]
        closed: list[str] = []
        segment = self.state.segment
        if segment is not None and (
            segment.terms != terms or segment.hour != hour or abs(start_ms - segment.last_to_ms) > 1
        ):
            closed.append(segment.key)
            segment = None
        if segment is None:
            name = segment_id(terms.camera, terms.epoch, start_ms)
            segment = OpenSegment(name, terms, hour, start_ms, end_ms)
        segment = replace(segment, last_to_ms=end_ms)
        kept: OpenSegment | None = segment
        if end_ms - segment.first_from_ms >= self._segment_ms:
            closed.append(segment.key)
            kept = None
        covered = max(self.state.covered_to_ms, end_ms)
        self.state = replace(self.state, covered_to_ms=covered, trees=tuple(trees.items()), segment=kept)
        return Placement(segment.segment_id, hour, tree.count, grown.root(), tuple(closed))

    def close_segment(self) -> tuple[str, ...]:
        """Close the open segment, because its session is over."""
        segment = self.state.segment
        self.state = replace(self.state, segment=None)
        return (segment.key,) if segment else ()
