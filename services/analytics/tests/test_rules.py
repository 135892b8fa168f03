"""When a notice opens, changes and closes."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_analytics.domain import Condition, Region, Resumed, Step, Track
from lykta_analytics.rules import PictureHealth, ZonePresence, ZoneRule, zone_rules
from lykta_contracts.mandates import Analytic, Point, Zone

START_MS = 1_795_435_200_000
LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
RIGHT_HALF = ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))
RULE = ZoneRule((("left", LEFT_HALF), ("right", RIGHT_HALF)), 0.5, 3_000, "medium")
LEFT_RULE = ZoneRule((("left", LEFT_HALF),), 0.5, 3_000, "medium")


def at(x: float, track_id: str = "a", confidence: float = 0.8, label: str = "person", ms: int = START_MS) -> Track:
    """A track that stands at `x`."""
    return Track(track_id, label, Region(x, 0.4, x + 0.02, 0.6), confidence, confidence, ms, ms)


def feed(state: ZonePresence, pictures: Sequence[Sequence[Track]], start: int = 0) -> list[Step]:
    """Shows pictures 200 ms apart."""
    return [step for index, seen in enumerate(pictures) for step in state.look(START_MS + 200 * (start + index), seen)]


def test_it_opens_at_the_third_of_five_and_starts_at_the_first() -> None:
    """Three looks out of five with a person open the notice, which began at the first of them."""
    steps = feed(ZonePresence(RULE), [[], [at(0.1)], [], [at(0.1)], [at(0.1)]])
    assert [(step.kind, step.started_ms, step.observed_ms) for step in steps] == [
        ("open", START_MS + 200, START_MS + 800)
    ]
    assert (steps[0].zones, steps[0].entered, steps[0].counts) == (("left",), ("left",), {"person": 1})


@pytest.mark.parametrize(
    "seen",
    [at(0.7), at(0.1, confidence=0.49), at(0.1, label="dog")],
    ids=["outside the zone", "too uncertain", "not a person"],
)
def test_it_does_not_open_for(seen: Track) -> None:
    """Somebody elsewhere, a weak detection or another kind of thing never opens it."""
    assert feed(ZonePresence(LEFT_RULE), [[seen]] * 20) == []


def test_flicker_does_not_open_it() -> None:
    """Single detections far apart are noise."""
    assert feed(ZonePresence(RULE), [[at(0.1)], [], [], [], []] * 10) == []


def test_a_second_person_is_told_at_most_once_a_second() -> None:
    """Changes within a second of the last word are told together, later."""
    state = ZonePresence(RULE)
    feed(state, [[at(0.1)]] * 3)
    early = feed(state, [[at(0.1), at(0.2, "b")], [at(0.1), at(0.2, "b"), at(0.7, "c")]], start=3)
    assert early == []
    late = feed(state, [[at(0.1)]] * 4, start=5)
    assert [(step.kind, step.counts, step.zones) for step in late] == [("update", {"person": 3}, ("left", "right"))]
    assert late[0].changed == ("counts", "place", "objects")


def test_it_closes_after_the_quiet_time_and_ends_at_the_last_sight() -> None:
    """The end of the incident is the last picture with a person, not the moment of closing."""
    state = ZonePresence(RULE)
    feed(state, [[at(0.1)]] * 4)
    steps = feed(state, [[]] * 30, start=4)
    assert [(step.kind, step.ended_ms, step.observed_ms) for step in steps] == [
        ("close", START_MS + 600, START_MS + 3600)
    ]
    assert not state.is_open


def test_a_short_absence_does_not_close_it() -> None:
    """Somebody who is back within the quiet time is the same incident."""
    state = ZonePresence(RULE)
    assert [step.kind for step in feed(state, ([[at(0.1)]] * 3 + [[]] * 13) * 5)] == ["open"]


def test_time_alone_closes_it() -> None:
    """Pictures that nobody needed to look at close it as well."""
    state = ZonePresence(RULE)
    feed(state, [[at(0.1)]] * 3)
    ticks = [state.tick(START_MS + 400 + 200 * index) for index in range(1, 16)]
    assert [len(steps) for steps in ticks] == [0] * 14 + [1]


def test_what_was_not_watched_is_not_quiet() -> None:
    """Ten seconds without pictures do not close it; three quiet watched ones do, and it ends at the last sight."""
    state = ZonePresence(RULE)
    feed(state, [[at(0.1)]] * 3)
    steps = [step for ms in range(10_400, 15_000, 200) for step in state.tick(START_MS + ms)]
    assert [(step.kind, step.ended_ms, step.observed_ms - START_MS) for step in steps] == [
        ("close", START_MS + 400, 13_400)
    ]


def test_an_open_notice_goes_on_after_a_restart() -> None:
    """Resumed after 20 s and seen again: no second opening, and the same start."""
    state = ZonePresence(
        RULE, Resumed(START_MS - 90_000, START_MS - 20_000, "person-in-zone", {"person": 1}, ("left",))
    )
    assert feed(state, [[]] * 5 + [[at(0.1)]] * 5) == []
    assert state.last_seen_ms == START_MS + 1_800
    closing = feed(state, [[]] * 20, start=10)
    assert [(step.kind, step.started_ms) for step in closing] == [("close", START_MS - 90_000)]


def test_an_open_notice_closes_when_the_restart_took_too_long() -> None:
    """Resumed too late: first it closes at its last sight, then a new one may open."""
    state = ZonePresence(RULE, Resumed(START_MS - 90_000, START_MS - 61_000, "person-in-zone"))
    steps = feed(state, [[at(0.1)]] * 3)
    assert [(step.kind, step.ended_ms) for step in steps] == [("close", START_MS - 61_000), ("open", None)]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2_000)), max_size=80))
def test_steps_always_alternate(looks: Sequence[tuple[bool, int]]) -> None:
    """Whatever is seen and however late, openings and closings alternate, and times never run backwards."""
    state, now, is_open = ZonePresence(LEFT_RULE), START_MS, False
    for present, elapsed in looks:
        now += elapsed
        for step in state.look(now, [at(0.1, ms=now)] if present else []):
            assert (step.kind == "open") != is_open
            is_open = step.kind != "close"
            assert step.started_ms <= (step.ended_ms or step.observed_ms) <= step.observed_ms <= now
    assert state.is_open == is_open


@given(st.lists(st.lists(st.floats(0, 0.98), max_size=5), max_size=60))
def test_counts_and_zones_only_grow(pictures: Sequence[Sequence[float]]) -> None:
    """Within one incident, counts and zones never shrink, and only listed zones are named."""
    state, counts, zones = ZonePresence(RULE), 0, set[str]()
    for step in feed(state, [[at(x, str(n)) for n, x in enumerate(seen)] for seen in pictures]):
        if step.kind == "open":
            counts, zones = 0, set()
        assert step.counts["person"] >= counts
        assert zones <= set(step.zones) <= {"left", "right"}
        counts, zones = step.counts["person"], set(step.zones)


def test_only_what_the_mandate_lists_becomes_a_rule() -> None:
    """An unknown detector and an entry without zones make no rule; there is no default rule."""
    corners = tuple(Point(x=x, y=y) for x, y in LEFT_HALF)
    listed = Analytic(detector="person-in-zone", zones=(Zone(zone_id="torg", polygon=corners),), quiet_seconds=7)
    unknown = Analytic(detector="loitering", zones=listed.zones)
    rules = zone_rules((unknown, Analytic(detector="person-in-zone"), listed))
    assert [(rule.key, rule.quiet_ms, rule.labels) for rule in rules] == [
        ("person-in-zone:torg", 7_000, frozenset({"person"}))
    ]
    assert zone_rules(()) == []


def _show(state: PictureHealth, conditions: Sequence[Condition]) -> list[Step]:
    return [step for index, what in enumerate(conditions) for step in state.look(START_MS + 200 * index, what)]


@pytest.mark.parametrize("condition", [Condition.BLACK, Condition.OBSCURED])
def test_two_seconds_of_a_bad_picture_open_and_two_of_a_clear_one_close(condition: Condition) -> None:
    """The notice opens after two seconds, starts with the first bad picture and ends with the last."""
    steps = _show(PictureHealth(), [Condition.CLEAR] * 5 + [condition] * 20 + [Condition.CLEAR] * 20)
    assert [(step.kind, step.category) for step in steps] == [
        ("open", f"camera-{condition.value}"),
        ("close", f"camera-{condition.value}"),
    ]
    assert (steps[0].started_ms, steps[1].ended_ms) == (START_MS + 1_000, START_MS + 4_800)


def test_a_passing_bird_is_no_tampering() -> None:
    """Less than two seconds of a covered picture say nothing."""
    assert _show(PictureHealth(), ([Condition.OBSCURED] * 9 + [Condition.CLEAR]) * 5) == []


@given(st.lists(st.sampled_from(list(Condition)), max_size=120))
def test_health_steps_alternate(conditions: Sequence[Condition]) -> None:
    """Openings and closings of the picture's health alternate, beginning with an opening."""
    kinds = [step.kind for step in _show(PictureHealth(), conditions)]
    assert kinds == ["open", "close"] * (len(kinds) // 2) + ["open"] * (len(kinds) % 2)
