"""What the log keeps of a record, and the decision which records of a batch are new."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lykta_contracts.audit import AuditRecord, leaf_bytes
from lykta_contracts.instants import to_ms

from lykta_audit.merkle import leaf_hash
from lykta_audit.tiles import MAX_ENTRY_SIZE

MAX_TEXT = 200
"""Characters of an entry id, controller, action or case."""
MAX_LONG_TEXT = 500
"""Characters of an actor's id or an object."""
MAX_PAGE = 1000
DEFAULT_PAGE = 100


@dataclass(frozen=True, slots=True)
class SearchColumns:
    """What a record can be searched by; derived from the leaf, never a truth of its own."""

    controller: str
    action: str
    actor_id: str
    case_id: str
    object: str
    occurred_ms: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as it is logged: the exact leaf bytes and what they are found by."""

    entry_id: str
    leaf: bytes
    leaf_hash: bytes
    columns: SearchColumns


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is in the log: its index from 0, and its leaf hash."""

    index: int
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it was read from the database; nothing about it is trusted yet."""

    index: int
    entry_id: str
    leaf: bytes
    leaf_hash: bytes
    columns: SearchColumns


def make_entry(record: AuditRecord) -> Entry:
    """Turn a record into its entry.

    Raises ValueError when its leaf is longer than a tile can carry, or when a field cannot be searched by (too
    long, or with a zero byte, which PostgreSQL refuses): such a record must not get as far as the database.
    """
    leaf = leaf_bytes(record)
    if len(leaf) > MAX_ENTRY_SIZE:
        raise ValueError(f"the record takes {len(leaf)} bytes, at most {MAX_ENTRY_SIZE} fit the log")
    columns = columns_of(record)
    short = (record.entry_id, columns.controller, columns.action, columns.case_id)
    for value in (*short, columns.actor_id, columns.object):
        bound = MAX_TEXT if value in short else MAX_LONG_TEXT
        if len(value) > bound or "\0" in value:
            raise ValueError(f"a field of the record has more than {bound} characters or a zero byte")
    return Entry(record.entry_id, leaf, leaf_hash(leaf), columns)


def columns_of(record: AuditRecord) -> SearchColumns:
    """Derive what a record is searched by."""
    return SearchColumns(
        record.controller,
        record.action,
        record.actor.id,
        record.case_id,
        record.object,
        to_ms(record.occurred_at),
    )


def record_of(leaf: bytes) -> AuditRecord:
    """Read a leaf back; fields of a newer release are ignored. Raises ValueError when it is no record."""
    return AuditRecord.model_validate(json.loads(leaf), extra="ignore")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with a batch: the new entries in order, and for each request its places or the conflicting id."""

    fresh: tuple[Entry, ...]
    outcomes: tuple[tuple[Place, ...] | str, ...]


def plan_batch(requests: Iterable[Sequence[Entry]], known: Mapping[str, Place], size: int) -> Plan:
    """Decide a batch of append requests on a log of `size` entries.

    A request is taken whole or not at all. An entry id that is in the log, or earlier in the batch, with the same
    leaf gets the place it has; with another leaf its request is refused, and nothing of that request is logged.
    """
    places = dict(known)
    fresh: list[Entry] = []
    outcomes: list[tuple[Place, ...] | str] = []
    for request in requests:
        added: dict[str, Place] = {}
        outcome: list[Place] = []
        news: list[Entry] = []
        conflict = ""
        for entry in request:
            place = places.get(entry.entry_id) or added.get(entry.entry_id)
            if place is None:
                place = Place(size + len(fresh) + len(news), entry.leaf_hash)
                added[entry.entry_id] = place
                news.append(entry)
            elif place.leaf_hash != entry.leaf_hash:
                conflict = entry.entry_id
                break
            outcome.append(place)
        if conflict:
            outcomes.append(conflict)
            continue
        places |= added
        fresh += news
        outcomes.append(tuple(outcome))
    return Plan(tuple(fresh), tuple(outcomes))


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What to search for; empty texts and None do not narrow. `action` may end in a dot: then it is a prefix."""

    controller: str
    action: str = ""
    actor_id: str = ""
    case_id: str = ""
    object: str = ""
    from_ms: int | None = None
    to_ms: int | None = None
    page_size: int = DEFAULT_PAGE
    below: int | None = None


def page_size(wanted: int) -> int:
    """Bound a page: 0 means the default. Raises ValueError for a negative size."""
    if wanted < 0:
        raise ValueError("page_size is not negative")
    return min(wanted or DEFAULT_PAGE, MAX_PAGE)


def write_token(below: int) -> str:
    """Write the token of the page that goes on below an index."""
    return f"i{below}"


def read_token(token: str) -> int | None:
    """Read a page token; None for the first page. Raises ValueError when it is none of ours."""
    if not token:
        return None
    if token[0] != "i" or not token[1:].isascii() or not token[1:].isdigit() or len(token) > 20:
        raise ValueError("page_token is not one of this service")
    return int(token[1:])
