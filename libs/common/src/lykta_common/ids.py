"""Makes identifiers: ULIDs with a type prefix, sortable by time."""

from ulid import ULID

from lykta_common.clock import Clock


def new_id(prefix: str, clock: Clock) -> str:
    """Return `<prefix>_<ULID>` for the clock's time."""
    return f"{prefix}_{ULID.from_datetime(clock.now())}"
