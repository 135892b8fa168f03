"""Following things from picture to picture."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from lykta_analytics.domain import Detection, Region, contains, overlap
from lykta_analytics.tracker import Tracker

NOON_MS = 1_795_435_200_000
UNIT = st.floats(0, 1, allow_nan=False)


@st.composite
def regions(draw: st.DrawFn) -> Region:
    """Any upright rectangle in the picture."""
    x1, x2 = sorted((draw(UNIT), draw(UNIT)))
    y1, y2 = sorted((draw(UNIT), draw(UNIT)))
    return Region(x1, y1, x2, y2)


def person(x: float, y: float = 0.5, label: str = "person") -> Detection:
    """A person-sized detection."""
    return Detection(label, 0.8, Region(x, y, x + 0.05, y + 0.15))


@given(regions(), regions())
def test_overlap_is_a_share_and_symmetric(a: Region, b: Region) -> None:
    """Overlap lies between 0 and 1, does not depend on the order, and is 1 only for the same rectangle."""
    assert 0 <= overlap(a, b) <= 1 + 1e-9
    assert overlap(a, b) == overlap(b, a)
    if a.area > 1e-300:
        assert abs(overlap(a, a) - 1) < 1e-9


@given(UNIT, UNIT)
def test_a_point_is_in_the_square_it_is_in(x: float, y: float) -> None:
    """The polygon test agrees with plain comparison on a square."""
    square = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    if min(abs(value - edge) for value in (x, y) for edge in (0.25, 0.75)) > 1e-9:
        assert contains(square, (x, y)) == (0.25 < x < 0.75 and 0.25 < y < 0.75)


def test_a_walking_person_keeps_one_id() -> None:
    """A person who walks half a width a picture keeps the id, also across two missed pictures."""
    tracker = Tracker()
    first = tracker.update(NOON_MS, [person(0.1)])[0].track_id
    for step in (1, 2, 3, 6, 7):
        assert tracker.update(NOON_MS + 200 * step, [person(0.1 + 0.02 * step)])[0].track_id == first


def test_two_people_side_by_side_are_two() -> None:
    """Two people who walk side by side keep their own ids whatever the order of the detections."""
    tracker = Tracker()
    left, right = (track.track_id for track in tracker.update(NOON_MS, [person(0.1), person(0.2)]))
    swapped = [track.track_id for track in tracker.update(NOON_MS + 200, [person(0.21), person(0.11)])]
    assert swapped == [right, left]


def test_a_bicycle_never_becomes_a_person() -> None:
    """A thing of another kind at the same place is another track."""
    tracker = Tracker()
    one = tracker.update(NOON_MS, [person(0.1)])[0]
    other = tracker.update(NOON_MS + 200, [person(0.1, label="bicycle")])[0]
    assert one.track_id != other.track_id


def test_who_was_lost_comes_back_as_somebody_new() -> None:
    """After 1.5 s out of sight there is no way back to the old id."""
    tracker = Tracker()
    one = tracker.update(NOON_MS, [person(0.1)])[0]
    assert tracker.active
    tracker.expire(NOON_MS + 1_501)
    assert not tracker.active
    assert tracker.update(NOON_MS + 1_700, [person(0.1)])[0].track_id != one.track_id


def test_no_id_joins_two_days() -> None:
    """At midnight UTC every track ends."""
    midnight_ms = 1_795_478_400_000
    tracker = Tracker()
    before = tracker.update(midnight_ms - 100, [person(0.1)])[0]
    after = tracker.update(midnight_ms + 100, [person(0.1)])[0]
    assert before.track_id != after.track_id
    assert before.track_id[:8] != after.track_id[:8]


def test_standing_still_is_noticed_and_forgotten() -> None:
    """Five seconds in one place make a track stationary; moving on ends that."""
    tracker = Tracker()
    for step in range(26):
        track = tracker.update(NOON_MS + 200 * step, [person(0.1 + 0.001 * (step % 2))])[0]
    assert track.stationary
    track = tracker.update(NOON_MS + 200 * 26, [person(0.13)])[0]
    assert not track.stationary


@given(st.lists(st.lists(regions(), max_size=6), max_size=8))
def test_ids_are_unique_within_a_picture(pictures: Sequence[Sequence[Region]]) -> None:
    """Whatever comes, each detection gets exactly one track and no two share an id."""
    tracker = Tracker()
    for index, found in enumerate(pictures):
        tracks = tracker.update(NOON_MS + 200 * index, [Detection("person", 0.7, region) for region in found])
        assert [track.region for track in tracks] == list(found)
        assert len({track.track_id for track in tracks}) == len(found)
