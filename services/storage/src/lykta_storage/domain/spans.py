"""Half-open spans of unix milliseconds, and the set arithmetic that coverage and time lines are made of."""

from collections.abc import Iterable

Span = tuple[int, int]
"""`(from, to)` in unix milliseconds, half-open; a span with `from >= to` is empty."""


def union(spans: Iterable[Span], seam_ms: int = 0) -> list[Span]:
    """Merge spans into disjoint ones in order; neighbours at most `seam_ms` apart become one."""
    merged: list[Span] = []
    for low, high in sorted(span for span in spans if span[0] < span[1]):
        if merged and low <= merged[-1][1] + seam_ms:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def intersect(left: Iterable[Span], right: Iterable[Span]) -> list[Span]:
    """Return the time that lies in both, disjoint and in order."""
    first, second = union(left), union(right)
    shared: list[Span] = []
    i = j = 0
    while i < len(first) and j < len(second):
        low, high = max(first[i][0], second[j][0]), min(first[i][1], second[j][1])
        if low < high:
            shared.append((low, high))
        if first[i][1] <= second[j][1]:
            i += 1
        else:
            j += 1
    return shared


def subtract(left: Iterable[Span], right: Iterable[Span]) -> list[Span]:
    """Return the time of `left` that is not in `right`, disjoint and in order."""
    holes = union(right)
    rest: list[Span] = []
    j = 0
    for start, high in union(left):
        low = start
        while j < len(holes) and holes[j][1] <= low:
            j += 1
        k = j
        while k < len(holes) and holes[k][0] < high:
            if low < holes[k][0]:
                rest.append((low, holes[k][0]))
            low = max(low, holes[k][1])
            k += 1
        if low < high:
            rest.append((low, high))
    return rest


def total_ms(spans: Iterable[Span]) -> int:
    """Return the length of the union, milliseconds."""
    return sum(high - low for low, high in union(spans))
