"""Hours of recording: when a mandate allows it, in the local time of the place (kamerabevakningslagen, R-08)."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from lykta_contracts.model import Message

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$"


class Window(Message):
    """Daily hours `[start, end)` in local time; an end at or before the start lies on the next day."""

    days: tuple[Weekday, ...] = WEEKDAYS
    start: str = Field(pattern=_CLOCK, description="HH:MM local time")
    end: str = Field(pattern=_CLOCK, description="HH:MM local time; 24:00 is the end of the day")


class Schedule(Message):
    """The union of windows in one IANA time zone; DST-correct: windows are wall-clock hours."""

    timezone: str = "Europe/Stockholm"
    windows: tuple[Window, ...] = (Window(start="00:00", end="24:00"),)

    @model_validator(mode="after")
    def _known_zone(self) -> Self:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(
                f"unknown time zone {self.timezone!r}; use an IANA name such as Europe/Stockholm"
            ) from error
        return self


def intervals(schedule: Schedule, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """Return the merged UTC intervals within `[start, end)` in which recording is allowed, in order."""
    merged: list[tuple[datetime, datetime]] = []
    for low, high in sorted(_windows(schedule, start, end)):
        clipped = (max(low, start), min(high, end))
        if clipped[0] >= clipped[1]:
            continue
        if merged and clipped[0] <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], clipped[1]))
        else:
            merged.append(clipped)
    return merged


def allows(schedule: Schedule, instant: datetime) -> bool:
    """Say whether recording is allowed at the instant."""
    return bool(intervals(schedule, instant, instant + timedelta(milliseconds=1)))


def allowed_until(schedule: Schedule, instant: datetime, horizon: timedelta = timedelta(days=8)) -> datetime | None:
    """Return the end of the allowed interval around the instant (at most the horizon away); None when not allowed."""
    spans = intervals(schedule, instant, instant + horizon)
    return spans[0][1] if spans and spans[0][0] == instant else None


def _windows(schedule: Schedule, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    zone = ZoneInfo(schedule.timezone)
    day = start.astimezone(zone).date() - timedelta(days=1)
    last = end.astimezone(zone).date()
    while day <= last:
        for window in schedule.windows:
            if WEEKDAYS[day.weekday()] in window.days:
                low = _instant(datetime.combine(day, time()), window.start, zone)
                wraps = window.end <= window.start
                high = _instant(datetime.combine(day, time()) + timedelta(days=wraps), window.end, zone)
                yield low, high
        day += timedelta(days=1)


def _instant(midnight: datetime, clock: str, zone: ZoneInfo) -> datetime:
    """Map wall-clock time to UTC. A time that DST skips maps to the moment of the jump's same offset (PEP 495)."""
    hours, minutes = int(clock[:2]), int(clock[3:])
    local = midnight + timedelta(hours=hours, minutes=minutes)
    return local.replace(tzinfo=zone).astimezone(UTC)
