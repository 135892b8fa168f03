"""Instants and camera-hours as they are written on the wire: RFC 3339 UTC with milliseconds."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer


def to_wire(instant: datetime) -> str:
    """Write an aware instant as `2026-11-23T08:00:00.000Z`; raises ValueError when it is naive."""
    if instant.tzinfo is None:
        raise ValueError("instant without a time zone")
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_wire(text: str) -> datetime:
    """Read an RFC 3339 instant; raises ValueError when it is malformed or naive."""
    return _aware(datetime.fromisoformat(text))


def from_ms(unix_ms: int) -> datetime:
    """Turn unix milliseconds into an aware instant, exactly."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=unix_ms)


def to_ms(instant: datetime) -> int:
    """Turn an aware instant into unix milliseconds, rounded down."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def hour_of(instant: datetime) -> str:
    """Name the UTC camera-hour an instant lies in: `20261123T08`."""
    return instant.astimezone(UTC).strftime("%Y%m%dT%H")


def hour_start(hour: str) -> datetime:
    """Return the first instant of a camera-hour; raises ValueError when the name is malformed."""
    return datetime.strptime(hour, "%Y%m%dT%H").replace(tzinfo=UTC)


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("instant without a time zone")
    return value.astimezone(UTC)


Instant = Annotated[datetime, AfterValidator(_aware), PlainSerializer(to_wire, return_type=str, when_used="json")]
"""An aware instant; in JSON RFC 3339 UTC with milliseconds."""
