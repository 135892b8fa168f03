"""Which records of a batch are new, and what is kept of a record."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_audit.domain import (
    MAX_PAGE,
    Entry,
    Place,
    columns_of,
    make_entry,
    page_size,
    plan_batch,
    read_token,
    record_of,
    write_token,
)
from lykta_audit.merkle import leaf_hash
from lykta_contracts.audit import Actor, AuditRecord


def make_record(entry_id: str, reason: str = "") -> AuditRecord:
    """Make a record with an id and a content."""
    moment = datetime(2026, 11, 23, 8, tzinfo=UTC)
    actor = Actor(kind="service", id="storage")
    return AuditRecord(entry_id=entry_id, occurred_at=moment, actor=actor, action="a.b", result="done", reason=reason)


ENTRIES = st.builds(lambda i, r: make_entry(make_record(f"e{i}", r)), st.integers(0, 5), st.sampled_from(["", "x"]))


@given(st.lists(st.lists(ENTRIES, min_size=1, max_size=4), max_size=8))
def test_a_batch_keeps_one_place_per_entry_id(requests: list[list[Entry]]) -> None:
    """However requests repeat and contradict each other: ids are unique, places dense, requests whole or refused."""
    plan = plan_batch(requests, {}, 10)
    assert len({entry.entry_id for entry in plan.fresh}) == len(plan.fresh)
    at = {entry.entry_id: Place(10 + i, entry.leaf_hash) for i, entry in enumerate(plan.fresh)}
    accepted: set[str] = set()
    for request, outcome in zip(requests, plan.outcomes, strict=True):
        if isinstance(outcome, str):
            assert outcome in {entry.entry_id for entry in request}
        else:
            assert outcome == tuple(at[entry.entry_id] for entry in request)
            assert [place.leaf_hash for place in outcome] == [entry.leaf_hash for entry in request]
            accepted |= {entry.entry_id for entry in request}
    assert accepted == set(at)


@given(st.lists(st.lists(ENTRIES, min_size=1, max_size=4), max_size=8))
def test_a_repeated_batch_changes_nothing(requests: list[list[Entry]]) -> None:
    """The same batch again, with the log knowing the first, adds nothing and answers the same to what was accepted."""
    first = plan_batch(requests, {}, 0)
    known = {entry.entry_id: Place(i, entry.leaf_hash) for i, entry in enumerate(first.fresh)}
    second = plan_batch(requests, known, len(first.fresh))
    accepted = [i for i, outcome in enumerate(first.outcomes) if not isinstance(outcome, str)]
    assert all(second.outcomes[i] == first.outcomes[i] for i in accepted)
    assert not {entry.entry_id for entry in second.fresh} & set(known)


def test_a_refused_request_leaves_nothing_behind() -> None:
    """A request with one conflicting record logs none of its other records."""
    kept, other = make_entry(make_record("a")), make_entry(make_record("a", "other"))
    plan = plan_batch([[kept], [make_entry(make_record("b")), other]], {}, 0)
    assert plan.outcomes == ((Place(0, kept.leaf_hash),), "a")
    assert plan.fresh == (kept,)


def test_a_record_reads_back_from_its_leaf() -> None:
    """The leaf holds the whole record; its hash and columns derive from it."""
    record = make_record("å/ö", "ROLE")
    entry = make_entry(record)
    assert record_of(entry.leaf) == record
    assert entry.leaf_hash == leaf_hash(entry.leaf)
    assert entry.columns == columns_of(record)


def test_a_record_that_no_tile_can_carry_is_refused() -> None:
    """A leaf above 65535 bytes is refused before it gets a place."""
    with pytest.raises(ValueError, match="at most 65535"):
        make_entry(make_record("a", "x" * 70_000))


@pytest.mark.parametrize(
    "changes",
    [{"action": "a" * 201}, {"object": "o" * 501}, {"case_id": "c\0"}, {"entry_id": "\0"}, {"controller": "k" * 201}],
)
def test_a_record_that_no_database_can_index_is_refused(changes: dict[str, str]) -> None:
    """Overlong fields and zero bytes are refused before they can stop the writer; the bounds themselves are fine."""
    record = make_record("a").model_copy(update=changes)
    with pytest.raises(ValueError, match="characters or a zero byte"):
        make_entry(record)
    make_entry(make_record("e" * 200).model_copy(update={"action": "a" * 200, "object": "o" * 500}))


@given(st.integers(0, 1 << 60))
def test_page_tokens_read_back(below: int) -> None:
    """A page token leads to where its page ended."""
    assert read_token(write_token(below)) == below


@pytest.mark.parametrize("token", ["5", "i", "i-1", "ix", "i²", "i" + "9" * 30])
def test_foreign_page_tokens_are_refused(token: str) -> None:
    """A token that this service did not write is an error."""
    with pytest.raises(ValueError, match="page_token"):
        read_token(token)


def test_page_sizes_are_bounded() -> None:
    """0 means the default, too much the most, less than nothing an error."""
    assert (read_token(""), page_size(0), page_size(10**6)) == (None, 100, MAX_PAGE)
    with pytest.raises(ValueError, match="not negative"):
        page_size(-1)
