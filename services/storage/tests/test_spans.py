"""Interval arithmetic against plain sets of milliseconds."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from lykta_storage.domain.spans import Span, intersect, subtract, total_ms, union

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def points(of: list[Span]) -> set[int]:
    """Every millisecond in the spans."""
    return {instant for low, high in of for instant in range(low, high)}


def is_normal(of: list[Span]) -> bool:
    """Whether spans are non-empty, disjoint, apart and in order."""
    return all(low < high for low, high in of) and all(a[1] < b[0] for a, b in pairwise(of))


@given(spans)
def test_union_keeps_every_point(given_spans: list[Span]) -> None:
    """A union covers exactly the points of its spans, in normal form."""
    assert points(union(given_spans)) == points(given_spans)
    assert is_normal(union(given_spans))
    assert total_ms(given_spans) == len(points(given_spans))


@given(spans, spans)
def test_intersection_and_difference_are_those_of_sets(left: list[Span], right: list[Span]) -> None:
    """Intersecting and subtracting spans is intersecting and subtracting sets of points."""
    assert points(intersect(left, right)) == points(left) & points(right)
    assert points(subtract(left, right)) == points(left) - points(right)
    assert is_normal(subtract(left, right))


def test_a_seam_closes_small_holes_only() -> None:
    """Neighbours within the seam become one span, others stay apart."""
    assert union([(0, 10), (15, 20), (40, 50)], seam_ms=5) == [(0, 20), (40, 50)]
