"""Coverage: scheduled time is always partitioned into recorded, explained, unexplained and pending."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from lykta_contracts.instants import to_ms
from lykta_contracts.mandates import LegalGround, MandateDocument
from lykta_contracts.schedule import Schedule, Window
from lykta_storage.domain.coverage import SETTLING_MS, balance, recordings
from lykta_storage.domain.spans import Span, intersect, total_ms, union
from lykta_storage.domain.terms import Term, retention_hours_during, retention_hours_of, scheduled

START = datetime(2026, 11, 23, tzinfo=UTC)
spans = st.lists(
    st.tuples(st.integers(0, 600_000), st.integers(0, 90_000)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    max_size=8,
)


def document(version: int = 1, hours: Schedule | None = None, retention: int = 72) -> MandateDocument:
    """A mandate for one camera and ten days."""
    return MandateDocument(
        mandate_id="man_1",
        version=version,
        controller="ks",
        place="torget",
        cameras=("torg-1",),
        purpose="prevent crime",
        legal_ground=LegalGround(text="filed"),
        hours=hours or Schedule(),
        retention_hours=retention,
        valid_from=START,
        valid_to=START + timedelta(days=10),
        review_at=START + timedelta(days=9),
    )


def ms(hours: float) -> int:
    """Unix milliseconds so many hours after the start."""
    return to_ms(START + timedelta(hours=hours))


@given(spans, spans, spans, st.integers(0, 700_000))
def test_the_balance_is_a_partition(asked: list[Span], recorded: list[Span], gaps: list[Span], now: int) -> None:
    """Recorded, explained, unexplained and pending are disjoint and add up to what was scheduled until now."""
    result = balance(asked, recorded, gaps, now)
    parts = [result.recorded, result.explained, result.unexplained, result.pending]
    assert sum(total_ms(part) for part in parts) == total_ms(result.scheduled)
    assert union(span for part in parts for span in part) == result.scheduled
    assert all(high <= now for _, high in result.scheduled)


@given(spans, spans, spans, st.integers(0, 700_000))
def test_only_young_time_is_pending(asked: list[Span], recorded: list[Span], gaps: list[Span], now: int) -> None:
    """Missing time is pending for the settling time, and unexplained afterwards; a gap never hides a recording."""
    result = balance(asked, recorded, gaps, now)
    assert all(low >= now - SETTLING_MS for low, _ in result.pending)
    assert all(high <= now - SETTLING_MS for _, high in result.unexplained)
    assert intersect(result.explained, recorded) == []


def test_a_hole_no_longer_than_a_seam_is_part_of_the_recording_beside_it() -> None:
    """The moment between an order and the first frame is no gap; a longer one, or one beside nothing, is."""
    result = balance([(0, 10_000), (20_000, 20_050)], [(90, 5000), (5101, 9000)], [(9000, 10_000)], 200_000)
    assert result.recorded == [(0, 5000), (5101, 9000)]
    assert result.unexplained == [(5000, 5101), (20_000, 20_050)]
    assert result.explained == [(9000, 10_000)]


def test_seams_are_closed_within_an_epoch_only() -> None:
    """Fragments of one recording join over rounding; two recordings never do."""
    assert recordings([(1, (0, 1000)), (1, (1040, 2000)), (2, (2050, 3000))]) == [(0, 2000), (2050, 3000)]


def test_a_term_begins_with_its_approval_and_ends_with_its_end() -> None:
    """Scheduled time runs from the later of approval and valid_from to the earlier of end and valid_to."""
    late = Term("torg-1", document(), ms(2), ms(5))
    assert scheduled([late], ms(0), ms(24)) == [(ms(2), ms(5))]
    early = Term("torg-1", document(), ms(-5))
    assert scheduled([early], ms(-10), ms(24)) == [(ms(0), ms(24))]
    assert scheduled([Term("torg-1", document(), ms(3), ms(1))], ms(0), ms(24)) == []


def test_hours_follow_the_local_clock() -> None:
    """A window is wall-clock time of the place: 20:00 to 04:00 in Linköping is 19:00 to 03:00 UTC in winter."""
    night = Schedule(windows=(Window(start="20:00", end="04:00"),))
    assert scheduled([Term("torg-1", document(hours=night), ms(0))], ms(12), ms(36)) == [(ms(19), ms(27))]


def test_retention_is_that_of_the_version_or_the_legal_maximum() -> None:
    """Footage keeps the retention of the version it was recorded under; an unknown version means 72 h."""
    terms = [Term("torg-1", document(1, retention=24), ms(0), ms(2)), Term("torg-1", document(2, retention=48), ms(2))]
    assert retention_hours_of(terms, "man_1", 1) == 24
    assert retention_hours_of(terms, "man_1", 2) == 48
    assert retention_hours_of(terms, "man_2", 1) == 72
    assert retention_hours_during(terms, START + timedelta(hours=1), START + timedelta(hours=2)) == 24
    assert retention_hours_during(terms, START + timedelta(hours=1), START + timedelta(hours=3)) == 48
    assert retention_hours_during(terms, START - timedelta(hours=9), START) == 72
