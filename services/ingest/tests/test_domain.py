"""The recorder's decisions: orders, missing time, segments, and an account that adds up whatever fails."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lykta_contracts.instants import from_ms as instant
from lykta_contracts.instants import hour_of, to_ms
from lykta_contracts.mandates import LegalGround, MandateDocument, MandateOrder
from lykta_contracts.schedule import Schedule, Window
from lykta_ingest.domain import CameraRef, Fragment, Terms, Why, duty_begins, missing, next_change, refusal_of
from lykta_ingest.ledger import Ledger
from lykta_ingest.seal import HourTree
from pymerkle import InmemoryTree

BASE = datetime(2026, 3, 1, tzinfo=UTC)
WHY = Why("CAMERA", "test")


def order(serial: int = 1, status: str = "live", camera: str = "c", **more: Any) -> MandateOrder:
    """Return an order."""
    fields: dict[str, Any] = {
        "mandate_id": "man_1", "version": 1, "controller": "ks", "place": "p", "cameras": (camera,), "purpose": "x",
        "legal_ground": LegalGround(text="x"), "valid_from": BASE, "valid_to": BASE + timedelta(days=90),
        "review_at": BASE,
    }  # fmt: skip
    return MandateOrder(
        controller="ks", camera=camera, serial=serial, status=status, mandate=MandateDocument(**(fields | more)),
        camera_address="rtsp://h/p", issued_at=BASE,
    )  # fmt: skip


def terms(epoch: int = 1, **more: Any) -> Terms:
    """Return the terms of an epoch."""
    fields: dict[str, Any] = {
        "controller": "ks", "camera": "c", "place": "p", "mandate_id": "man_1", "mandate_version": 1,
        "fencing_token": 1, "epoch": epoch, "codec": "avc1", "width": 2, "height": 2,
    }  # fmt: skip
    return Terms(**(fields | more))


@pytest.mark.parametrize(
    ("held", "key", "good"),
    [
        (None, "ks.c", True),
        (None, "ks.other", False),
        (order(2), "ks.c", False),
        (order(1), "ks.c", True),
        (order(1, "ended"), "ks.c", False),
    ],
    ids=["first", "other camera", "replay", "same again", "same serial, other content"],
)
def test_an_order_is_refused_with_a_reason_unless_it_is_new_and_in_its_place(
    held: MandateOrder | None, key: str, good: bool
) -> None:
    """Orders for other cameras, replays and contradictions are refused."""
    assert (refusal_of(order(1), key, held) is None) is good


def test_missing_time_follows_local_hours_over_the_change_of_summer_time() -> None:
    """On the night the clocks go forward 19–06 local is ten hours, and nothing outside them is missing."""
    night = order(hours=Schedule(timezone="Europe/Stockholm", windows=(Window(start="19:00", end="06:00"),)))
    start = datetime(2026, 3, 28, 12, tzinfo=UTC)
    holes = missing(night, to_ms(start), to_ms(start + timedelta(days=1)))
    assert [(instant(one.from_ms).hour, instant(one.to_ms).hour) for one in holes] == [(18, 4)]


def test_an_ended_order_opens_no_hours_and_duty_begins_no_earlier_than_the_order() -> None:
    """`next_change` of an ended order is the horizon; an order that is valid since long obliges from its issue on."""
    horizon = BASE + timedelta(hours=1)
    assert next_change(order(status="ended"), BASE, horizon) == horizon
    early = order(valid_from=BASE - timedelta(days=9))
    assert duty_begins(early) == to_ms(BASE)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["fragment", "failed", "gap", "epoch"]), st.integers(0, 4_000), st.integers(500, 3_000)
        ),
        max_size=40,
    )
)
@settings(max_examples=200, deadline=None)
def test_recorded_and_declared_time_adds_up_without_hole_or_overlap(steps: list[tuple[str, int, int]]) -> None:
    """Whatever fails in between: fragments and gaps together cover the time from the first second to the last."""
    ledger, live = Ledger(CameraRef("ks", "c"), 0, 10_000), order()
    now = to_ms(BASE)
    spans: list[tuple[int, int]] = []
    tree = InmemoryTree(algorithm="sha256")
    hours: dict[str, InmemoryTree] = {}
    epoch = 1
    for number, (kind, pause, length) in enumerate(steps):
        now += pause if kind != "gap" else length
        before = ledger.state
        if kind == "epoch":
            epoch += 1
        elif kind == "gap":
            spans += [(hole.from_ms, hole.to_ms) for hole, _ in ledger.account(live, now, WHY)]
        else:
            digest = hashlib.sha256(str(number).encode()).digest()
            holes = ledger.account(live, now, WHY)
            placed = ledger.place(terms(epoch), (now, now + length), digest)
            if kind == "failed":
                ledger.state = before
                ledger.owe(Why("DISK", "full"))
            else:
                spans += [(hole.from_ms, hole.to_ms) for hole, _ in holes]
                spans.append((now, now + length))
                tree = hours.setdefault(placed.hour, InmemoryTree(algorithm="sha256"))
                assert placed.leaf == tree.get_size()
                tree.append_entry(digest)
                assert placed.root == tree.get_root()
            now += length
    spans += [(hole.from_ms, hole.to_ms) for hole, _ in ledger.account(live, now, WHY)]
    spans.sort()
    reached = to_ms(BASE)
    for start, end in spans:
        assert -1 <= start - reached < 100
        reached = end
    assert now - reached < 100


def test_trifles_one_after_the_other_are_declared_together() -> None:
    """Looking often does not make missing time too short to be declared."""
    ledger, live, start = Ledger(CameraRef("ks", "c"), 0, 10_000), order(), to_ms(BASE)
    found = [hole for step in range(80, 401, 80) for hole, _ in ledger.account(live, start + step, WHY)]
    assert [(one.from_ms - start, one.to_ms - start) for one in found] == [(0, 160), (160, 320)]


def test_a_segment_ends_after_ten_seconds_at_an_hour_and_with_its_epoch() -> None:
    """The segments of a run of fragments depend on nothing but the fragments, and never span an hour."""
    ledger = Ledger(CameraRef("ks", "c"), 0, 10_000)
    start = to_ms(BASE + timedelta(minutes=59, seconds=45))
    names = []
    for number in range(10):
        at = start + number * 2_000
        epoch = 1 if number < 9 else 2
        names.append(ledger.place(terms(epoch), (at, at + 2_000), bytes(32)).segment_id)
    groups = [len([one for one in names if one == name]) for name in dict.fromkeys(names)]
    assert groups == [5, 3, 1, 1]
    assert hour_of(instant(start + 14_000)) != hour_of(instant(start + 16_000))
    assert ledger.close_segment() == (f"ks/{names[-1]}",)
    assert ledger.close_segment() == ()


def test_a_newer_mandate_version_begins_a_new_segment() -> None:
    """Footage under two versions of a mandate never shares a segment."""
    ledger = Ledger(CameraRef("ks", "c"), 0, 10_000)
    first = ledger.place(terms(), (0, 2_000), bytes(32))
    second = ledger.place(terms(mandate_version=2), (2_000, 4_000), bytes(32))
    assert first.segment_id != second.segment_id
    assert second.closed == (f"ks/{first.segment_id}",)


@given(count=st.integers(0, 70))
@settings(max_examples=40, deadline=None)
def test_the_frontier_gives_the_rfc_6962_root_of_every_size(count: int) -> None:
    """The O(log n) frontier agrees with an independent Merkle tree; the empty root is the hash of nothing."""
    ours, theirs = HourTree(), InmemoryTree(algorithm="sha256")
    for number in range(count):
        leaf = hashlib.sha256(bytes([number])).digest()
        ours = ours.with_leaf(leaf)
        theirs.append_entry(leaf)
    assert ours.root() == (theirs.get_root() if count else hashlib.sha256().digest())


def test_a_fragments_metadata_comes_back_from_the_journal_as_it_went_in() -> None:
    """Encoding and decoding a fragment's metadata changes nothing."""
    fragment = Fragment(
        terms(), "c.1.5", "20260301T00", "run", 3, "ab" * 32, "cd" * 32, "ef" * 32, 100, 20, 150, 5, 2_005, 90, 60,
        damaged=True, clock=("rtcp", -3, 250), traceparent="00-x",
    )  # fmt: skip
    found = Fragment.from_json(fragment.to_json())
    assert (found, found.traceparent) == (fragment, "00-x")
