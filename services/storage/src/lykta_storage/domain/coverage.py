"""The balance of a camera: every scheduled millisecond is recorded, explained, unexplained or pending (R-32)."""

from collections.abc import Sequence
from dataclasses import dataclass

from lykta_storage.domain.spans import Span, intersect, subtract, union

SETTLING_MS = 60_000
"""Younger time may still be on its way from a recorder, so that it is pending, not unexplained."""

SEAM_MS = 100
"""Instants of different processes agree to within this: shorter holes beside a recording are part of it."""


@dataclass(frozen=True)
class Balance:
    """A partition of the scheduled time; the four last are disjoint and their union is `scheduled`."""

    scheduled: list[Span]
    recorded: list[Span]
    explained: list[Span]
    unexplained: list[Span]
    pending: list[Span]


def balance(scheduled: Sequence[Span], recorded: Sequence[Span], gaps: Sequence[Span], now_ms: int) -> Balance:
    """Balance scheduled time against recordings and declared gaps; time after `now_ms` is not scheduled yet.

    Time that is both recorded and declared as a gap counts as recorded.
    """
    asked = [(low, min(high, now_ms)) for low, high in union(scheduled)]
    asked = union(asked)
    have = intersect(asked, recorded)
    missing = subtract(asked, have)
    explained = intersect(missing, gaps)
    missing = subtract(missing, explained)
    seams = slivers(missing, have)
    have, missing = union([*have, *seams]), subtract(missing, seams)
    settled = now_ms - SETTLING_MS
    unexplained = intersect(missing, [(min((low for low, _ in missing), default=settled), settled)])
    return Balance(asked, have, explained, unexplained, subtract(missing, unexplained))


def slivers(missing: Sequence[Span], recorded: Sequence[Span]) -> list[Span]:
    """Return the missing spans that are no longer than a seam and touch a recording."""
    edges = {instant for span in recorded for instant in span}
    return [(low, high) for low, high in missing if high - low <= SEAM_MS and (low in edges or high in edges)]


def recordings(fragments: Sequence[tuple[int, Span]]) -> list[Span]:
    """Join fragments, each with its epoch, into recorded time; only seams within an epoch are closed."""
    by_epoch: dict[int, list[Span]] = {}
    for epoch, span in fragments:
        by_epoch.setdefault(epoch, []).append(span)
    return union(span for spans in by_epoch.values() for span in union(spans, SEAM_MS))
