"""Hours of recording."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_contracts.schedule import WEEKDAYS, Schedule, Window, allowed_until, allows, intervals
from pydantic import ValidationError

STOCKHOLM = ZoneInfo("Europe/Stockholm")
NIGHT = Schedule(windows=(Window(start="19:00", end="06:00"),))
ALWAYS = Schedule()


@pytest.mark.parametrize("day", [datetime(2026, 3, 28), datetime(2026, 10, 24), datetime(2026, 6, 1)])
def test_night_hours_hold_on_days_when_clocks_change(day: datetime) -> None:
    """No instant between 06:00 and 19:00 local is allowed, and every other is, on DST days too (R-08)."""
    start = day.replace(tzinfo=STOCKHOLM).astimezone(UTC)
    for minutes in range(0, 48 * 60, 7):
        instant = start + timedelta(minutes=minutes)
        hour = instant.astimezone(STOCKHOLM).hour
        assert allows(NIGHT, instant) == (hour >= 19 or hour < 6), instant


def test_the_night_when_clocks_go_forward_is_an_hour_shorter() -> None:
    """19:00 to 06:00 lasts 10 h when clocks go forward and 12 h when they go back."""
    forward = datetime(2026, 3, 28, 12, tzinfo=UTC)
    back = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert [high - low for low, high in intervals(NIGHT, forward, forward + timedelta(days=1))] == [timedelta(hours=10)]
    assert [high - low for low, high in intervals(NIGHT, back, back + timedelta(days=1))] == [timedelta(hours=12)]


def test_all_day_is_one_interval_over_a_clock_change() -> None:
    """Round-the-clock recording has no seam at midnight or at a clock change."""
    start, end = datetime(2026, 3, 27, tzinfo=UTC), datetime(2026, 4, 2, tzinfo=UTC)
    assert intervals(ALWAYS, start, end) == [(start, end)]
    assert allowed_until(ALWAYS, start) == start + timedelta(days=8)


windows = st.builds(
    Window,
    days=st.lists(st.sampled_from(WEEKDAYS), min_size=1, unique=True).map(tuple),
    start=st.integers(0, 23 * 60 + 59).map(lambda m: f"{m // 60:02}:{m % 60:02}"),
    end=st.integers(0, 23 * 60 + 59).map(lambda m: f"{m // 60:02}:{m % 60:02}"),
)


@given(
    st.builds(Schedule, windows=st.lists(windows, min_size=1, max_size=4).map(tuple)),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda d: d.replace(tzinfo=UTC)),
)
def test_intervals_are_ordered_apart_and_agree_with_each_instant(schedule: Schedule, start: datetime) -> None:
    """Intervals never touch, and an instant is allowed exactly when it lies in one."""
    end = start + timedelta(days=3)
    spans = intervals(schedule, start, end)
    assert all(low < high for low, high in spans)
    assert all(first[1] < second[0] for first, second in itertools.pairwise(spans))
    for hours in range(0, 72, 5):
        instant = start + timedelta(hours=hours, minutes=17)
        assert allows(schedule, instant) == any(low <= instant < high for low, high in spans)


def test_an_unknown_time_zone_is_refused() -> None:
    """A wrong zone name is refused when the schedule is made, with what to use instead."""
    with pytest.raises(ValidationError, match="IANA"):
        Schedule(timezone="Linköping")
