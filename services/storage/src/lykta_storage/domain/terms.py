"""Mandate terms: from when to when each version of a mandate ordered a camera to record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lykta_contracts.instants import from_ms, to_ms
from lykta_contracts.mandates import LEGAL_RETENTION_HOURS, MandateDocument

from lykta_storage.domain.spans import Span, union

_FOREVER_MS = 253_402_300_799_999


@dataclass(frozen=True)
class Term:
    """One version of a mandate for one camera; `started_ms` is the approval, `ended_ms` the end or the next version."""

    camera: str
    document: MandateDocument
    started_ms: int
    ended_ms: int | None = None

    def in_force(self) -> Span:
        """Return when it was in force, whatever its hours; empty when it ended before it began."""
        start = max(self.started_ms, to_ms(self.document.valid_from))
        end = min(self.ended_ms if self.ended_ms is not None else _FOREVER_MS, to_ms(self.document.valid_to))
        return start, max(start, end)


def scheduled(terms: Sequence[Term], start_ms: int, end_ms: int) -> list[Span]:
    """Return the time within `[start_ms, end_ms)` in which any of the terms ordered recording."""
    spans: list[Span] = []
    for term in terms:
        low, high = term.in_force()
        low, high = max(low, start_ms), min(high, end_ms)
        if low < high:
            allowed = term.document.allowed_intervals(from_ms(low), from_ms(high))
            spans += [(to_ms(begin), to_ms(end)) for begin, end in allowed]
    return union(spans)


def retention_hours_of(terms: Sequence[Term], mandate_id: str, version: int) -> int:
    """Return how long footage of a mandate's version may be kept; the legal 72 h when the version is not known."""
    for term in terms:
        if (term.document.mandate_id, term.document.version) == (mandate_id, version):
            return term.document.retention_hours
    return LEGAL_RETENTION_HOURS


def retention_hours_during(terms: Sequence[Term], start: datetime, end: datetime) -> int:
    """Return the longest retention of the terms in force between two instants; the legal 72 h when there is none."""
    span = to_ms(start), to_ms(end)
    hours = [t.document.retention_hours for t in terms if t.in_force()[0] < span[1] and span[0] < t.in_force()[1]]
    return max(hours, default=LEGAL_RETENTION_HOURS)
