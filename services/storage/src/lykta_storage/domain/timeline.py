"""The ordered answer to a read of footage: which fragments are served, and why the rest of the time is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lykta_storage.domain.coverage import SEAM_MS, SETTLING_MS, recordings, slivers
from lykta_storage.domain.footage import HOUR_MS, DeclaredGap, SealedFragment, SegmentState
from lykta_storage.domain.spans import Span, intersect, subtract, union


class EdgeReason(StrEnum):
    """Why footage ends where it ends."""

    GRANT = "GRANT"
    HOURS = "HOURS"
    DELETED = "DELETED"
    FUTURE = "FUTURE"


@dataclass(frozen=True)
class GapItem:
    """Time that should have been recorded; an empty `gap_id` with cause UNKNOWN is unexplained."""

    span: Span
    cause: str
    gap_id: str


@dataclass(frozen=True)
class EdgeItem:
    """Time without footage for another reason."""

    span: Span
    reason: EdgeReason


Item = SealedFragment | GapItem | EdgeItem


@dataclass(frozen=True)
class Question:
    """What is asked for, what the grant covers of it, and what is known; all spans in unix milliseconds."""

    asked: Span
    granted: Span
    fragments: Sequence[SealedFragment]
    gaps: Sequence[DeclaredGap]
    scheduled: Sequence[Span]
    retention_hours: dict[tuple[str, int], int]
    now_ms: int

    def expired(self, fragment: SealedFragment, at_ms: int) -> bool:
        """Say whether a fragment is past the retention of its mandate at an instant, or deleted already."""
        hours = self.retention_hours[fragment.mandate_id, fragment.mandate_version]
        return fragment.state is SegmentState.DELETED or fragment.from_ms + hours * HOUR_MS <= at_ms


def timeline(question: Question) -> list[Item]:
    """Order what a read answers by time; every asked moment is in a fragment, a gap or an edge.

    A fragment cannot be cut, so one that reaches outside the grant is left out whole (edge GRANT).
    """
    asked = [question.asked]
    visible = [f for f in question.fragments if intersect([f.span], asked)]
    expired = [f for f in visible if question.expired(f, question.now_ms)]
    alive = [f for f in visible if not question.expired(f, question.now_ms)]
    low, high = question.granted
    served = without_overlaps([f for f in alive if low <= f.from_ms and f.to_ms <= high])
    recorded = recordings([(f.epoch, f.span) for f in served])
    rest = subtract(asked, recorded)
    items: list[Item] = [*served]

    def explain(why: Sequence[Span], reason: EdgeReason) -> None:
        nonlocal rest
        items.extend(EdgeItem(span, reason) for span in intersect(rest, why))
        rest = subtract(rest, why)

    cut = [f.span for f in alive if f.from_ms < low or high < f.to_ms]
    explain(subtract(asked, [question.granted]) + cut, EdgeReason.GRANT)
    explain([f.span for f in expired], EdgeReason.DELETED)
    for gap in question.gaps:
        items.extend(GapItem(span, gap.cause, gap.gap_id) for span in intersect(rest, [gap.span]))
        rest = subtract(rest, [gap.span])
    explain([(question.now_ms, max(question.now_ms, question.asked[1]))], EdgeReason.FUTURE)
    explain(subtract(asked, question.scheduled), EdgeReason.HOURS)
    explain([(question.now_ms - SETTLING_MS, question.now_ms)], EdgeReason.FUTURE)
    items.extend(GapItem(span, "UNKNOWN", "") for span in subtract(rest, slivers(rest, recorded)))
    return sorted(items, key=_order)


def without_overlaps(fragments: Sequence[SealedFragment]) -> list[SealedFragment]:
    """Leave out what a recorder with a higher fencing token recorded as well; nothing recorded once is lost."""
    kept: list[SealedFragment] = []
    newer: list[Span] = []
    for token in sorted({f.fencing_token for f in fragments}, reverse=True):
        mine = [f for f in fragments if f.fencing_token == token and subtract([f.span], newer)]
        kept += mine
        newer = union([*newer, *(f.span for f in mine)], SEAM_MS)
    return sorted(kept, key=lambda f: (f.from_ms, f.fencing_token, f.leaf))


def _order(item: Item) -> tuple[int, int, int]:
    if isinstance(item, SealedFragment):
        return item.from_ms, item.fencing_token, item.leaf
    return item.span[0], -1, 0
