"""Points in time as people write them on a command line."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from lykta_standalone.cli.failure import UsageError

_AGO: Final = re.compile(r"-(\d+)(s|m|h|d)")
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
HELP: Final = "RFC 3339, `now`, `-90s`, `-5m`, `-2h`, `-1d`, or `14:30[:00]` today (local time)."


def parse_when(text: str, now: datetime) -> datetime:
    """Read a point in time as aware UTC; raises UsageError that lists the forms."""
    text = text.strip()
    if text == "now":
        return now
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        if clock := _CLOCK.fullmatch(text):
            local = now.astimezone().replace(hour=int(clock[1]), minute=int(clock[2]), microsecond=0)
            return local.replace(second=int(clock[3] or 0)).astimezone(UTC)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a point in time; write {HELP}") from error
    return moment.astimezone(UTC)
