"""Points in time as people write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_standalone.cli.failure import UsageError
from lykta_standalone.cli.when import parse_when

NOW = datetime(2026, 11, 23, 9, 0, 5, tzinfo=UTC)


@given(number=st.integers(0, 5000), unit=st.sampled_from(["s", "m", "h", "d"]))
def test_so_long_ago(number: int, unit: str) -> None:
    """`-5m` is five minutes before now, for every unit."""
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit] * number
    assert parse_when(f"-{number}{unit}", NOW) == NOW - timedelta(seconds=seconds)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_rfc_3339_is_read_exactly(moment: datetime) -> None:
    """What is written as RFC 3339 is read back as the same instant."""
    assert parse_when(moment.isoformat().replace("+00:00", "Z"), NOW) == moment


def test_now_and_a_clock_time_today() -> None:
    """`now` is now; a clock time is today's, in local time."""
    assert parse_when("now", NOW) == NOW
    local = parse_when("07:30", NOW).astimezone()
    assert (local.hour, local.minute, local.second) == (7, 30, 0)
    assert local.date() == NOW.astimezone().date()


@pytest.mark.parametrize("text", ["", "yesterday", "-5", "25:00", "-5x", "2026-13-01T00:00:00Z"])
def test_anything_else_is_wrong_usage(text: str) -> None:
    """The message lists the forms that work."""
    with pytest.raises(UsageError, match="RFC 3339"):
        parse_when(text, NOW)
