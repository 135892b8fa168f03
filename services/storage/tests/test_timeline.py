"""Time lines: every asked millisecond is in a fragment, a gap or an edge, and nothing outside the grant is."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from lykta_storage.domain.deletion import is_due, segments_digest
from lykta_storage.domain.footage import HOUR_MS, CameraHour, DeclaredGap, SealedFragment, SegmentState, hours_between
from lykta_storage.domain.spans import Span, intersect, total_ms, union
from lykta_storage.domain.timeline import EdgeItem, EdgeReason, GapItem, Question, timeline, without_overlaps

NOW = 500 * HOUR_MS
RETENTION = {("man_1", 1): 72}


def fragment(low: int, high: int, token: int = 1, epoch: int = 1) -> SealedFragment:
    """A fragment with made-up places in its object."""
    return SealedFragment(
        segment_id=f"torg-1.{epoch}.{low}",
        hour="20260101T00",
        epoch=epoch,
        codec="avc1.42c01e",
        fencing_token=token,
        mandate_id="man_1",
        mandate_version=1,
        run="R",
        leaf=low,
        object_key="k",
        offset=0,
        length=1,
        sha256="",
        cipher_sha256="",
        init_length=1,
        from_ms=low,
        to_ms=high,
        state=SegmentState.STORED,
    )


def question(asked: Span, fragments: list[SealedFragment], **more: object) -> Question:
    """A question at NOW, granted whole and scheduled always."""
    plain = Question(asked, asked, fragments, (), [(0, NOW * 2)], RETENTION, NOW)
    return replace(plain, **more)  # type: ignore[arg-type]


recorded = st.lists(
    st.tuples(st.integers(0, 400), st.integers(1, 60), st.integers(1, 3)).map(
        lambda three: fragment(NOW - 400_000 + three[0] * 1000, NOW - 400_000 + (three[0] + three[1]) * 1000, three[2])
    ),
    max_size=8,
)


@given(recorded, st.integers(0, 400), st.integers(1, 300), st.integers(0, 400), st.integers(1, 400))
def test_every_asked_millisecond_is_answered_once(
    fragments: list[SealedFragment], start: int, length: int, granted: int, granted_length: int
) -> None:
    """Gaps and edges are disjoint from what is served, and together with it they are all that was asked."""
    origin = NOW - 400_000
    asked = (origin + start * 1000, origin + (start + length) * 1000)
    grant = (origin + granted * 1000, origin + (granted + granted_length) * 1000)
    grant = (max(asked[0], grant[0]), min(asked[1], grant[1]))
    grant = grant if grant[0] < grant[1] else asked
    items = timeline(question(asked, fragments, granted=grant))
    served = [item for item in items if isinstance(item, SealedFragment)]
    others = [item.span for item in items if not isinstance(item, SealedFragment)]
    assert intersect(union(others), [f.span for f in served]) == []
    assert sum(total_ms([span]) for span in others) == total_ms(others)
    answered = intersect([asked], [*others, *(f.span for f in served)])
    assert answered == [asked]
    assert all(grant[0] <= f.from_ms and f.to_ms <= grant[1] for f in served)


@given(recorded)
def test_overlaps_are_served_once_and_nothing_is_lost(fragments: list[SealedFragment]) -> None:
    """The newer token wins where both recorded, and all recorded time is still there."""
    kept = without_overlaps(fragments)
    assert union(f.span for f in kept) == union(f.span for f in fragments)
    assert [f.from_ms for f in kept] == sorted(f.from_ms for f in kept)


def test_the_newer_recorder_wins() -> None:
    """Where two recorders overlapped, the one with the higher fencing token is shown."""
    old, new = fragment(0, 2000, token=1), fragment(0, 2000, token=2, epoch=2)
    assert without_overlaps([old, new]) == [new]


def test_expired_footage_is_an_edge_before_it_is_deleted() -> None:
    """A fragment whose first frame has reached its retention is not served, whether its object exists or not."""
    old = NOW - 72 * HOUR_MS
    items = timeline(question((old, old + 4000), [fragment(old, old + 2000), fragment(old + 2000, old + 4000)]))
    assert items[0] == EdgeItem((old, old + 2000), EdgeReason.DELETED)
    assert isinstance(items[1], SealedFragment)
    gone = replace(fragment(NOW - 9000, NOW - 7000), state=SegmentState.DELETED)
    assert timeline(question((NOW - 9000, NOW - 7000), [gone])) == [
        EdgeItem((NOW - 9000, NOW - 7000), EdgeReason.DELETED)
    ]


def test_missing_time_is_explained_in_order() -> None:
    """Declared gaps, hours without a mandate, unexplained time, time on its way and the future are told apart."""
    start = NOW - 200_000
    asked = (start, NOW + 10_000)
    gap = DeclaredGap("gap_1", start, start + 10_000, "NETWORK")
    items = timeline(question(asked, [], gaps=[gap], scheduled=[(start + 50_000, NOW * 2)]))
    assert items == [
        GapItem((start, start + 10_000), "NETWORK", "gap_1"),
        EdgeItem((start + 10_000, start + 50_000), EdgeReason.HOURS),
        GapItem((start + 50_000, NOW - 60_000), "UNKNOWN", ""),
        EdgeItem((NOW - 60_000, NOW), EdgeReason.FUTURE),
        EdgeItem((NOW, NOW + 10_000), EdgeReason.FUTURE),
    ]


def test_a_fragment_across_the_grant_is_left_out_whole() -> None:
    """A fragment that reaches outside the grant is not served, because it cannot be cut."""
    items = timeline(
        question((0, 4000), [fragment(0, 2000), fragment(2000, 4000)], granted=(1000, 4000), now_ms=10_000)
    )
    assert items[0] == EdgeItem((0, 2000), EdgeReason.GRANT)
    assert isinstance(items[1], SealedFragment)


def test_an_hour_is_due_when_its_last_minute_is() -> None:
    """Deletion waits for the end of the hour plus the retention, and not a millisecond longer."""
    hour = CameraHour("ks", "torg-1", "20261123T08")
    end = hour.span()[1]
    assert not is_due(hour, 72, end + 72 * HOUR_MS - 1)
    assert is_due(hour, 72, end + 72 * HOUR_MS)


def test_the_digest_does_not_depend_on_order() -> None:
    """The receipt's digest is over the set of segment ids."""
    assert segments_digest(["b", "a"]) == segments_digest(["a", "b"]) != segments_digest(["ab"])


def test_hours_between_names_every_hour_touched() -> None:
    """An interval over the turn of an hour touches two hours, one that ends at the turn touches one."""
    start = CameraHour("ks", "c", "20261123T08").span()[0]
    assert hours_between(start, start + HOUR_MS) == ["20261123T08"]
    assert hours_between(start + 1, start + HOUR_MS + 1) == ["20261123T08", "20261123T09"]
