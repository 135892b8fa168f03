"""A server is away or frozen for half a minute: recording goes on and drains, and nobody sees what is not logged."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lykta.audit.v1 import log_service_pb2 as log
from lykta.storage.v1 import playback_service_pb2 as playback

from tests.integration.client import AWAY, Client, Refusal, granted, instant, played, stamp
from tests.integration.harness import Platform, eventually
from tests.integration.witness import Witness

AWAY_SECONDS = {"refuses": 30.0, "hangs": 20.0}
"""Longer than a recorder's lease (15 s)."""
CAMERA = "tradgardstorget-1"
BACK: list[float] = []
"""When the servers came back."""


def stays_away(platform: Platform, name: str, how: str) -> AbstractContextManager[None]:
    """Take a process away for a block."""
    ways: dict[str, Callable[[str], AbstractContextManager[None]]] = {
        "refuses": platform.held_down,
        "hangs": platform.paused,
    }
    return ways[how](name)


@pytest.mark.parametrize(
    ("name", "how"), [("nats-server", "refuses"), ("nats-server", "hangs"), ("weed", "refuses"), ("weed", "hangs")]
)
def test_half_a_minute_without(name: str, how: str, platform: Platform, witnesses: list[Witness]) -> None:
    """Without NATS or S3 every picture is recorded to the spool and stored afterwards, and no gap is declared."""
    before = time.time()
    known = {witness.camera: witness.acknowledged() for witness in witnesses}
    with stays_away(platform, name, how):
        until = time.time() + AWAY_SECONDS[how]
        while time.time() < until:
            for witness in witnesses:
                assert time.time() - witness.recorded_to() < 5, "the recorder stands still"
            time.sleep(2)
    back = time.time()
    BACK.append(back)
    for witness in witnesses:
        witness.stored_from(back, 90)
        loss = eventually(lambda one=witness: whole(one, before - 5), 60, "the spool's content in the store", every=2)
        assert loss.strangers == []
        assert known[witness.camera] <= {one.segment_id for one in witness.listed()}
        assert witness.gaps(before) == []


def whole(witness: Witness, since: float) -> Any:
    """Return the loss when nothing is lost, else nothing."""
    loss = witness.loss(since)
    return loss if loss.frames == 0 else None


def newest_footage(witness: Witness) -> tuple[playback.Open, tuple[datetime, datetime]]:
    """Return a request for the newest stored segment, and its interval."""
    newest = witness.listed()[-1]
    between = instant(getattr(newest, "from")), instant(newest.to)
    opened = playback.Open(controller="ks", camera=witness.camera, to=stamp(between[1]))
    getattr(opened, "from").CopyFrom(stamp(between[0]))
    return opened, between


def seen(client: Client, opened: playback.Open, grant: str) -> int:
    """Read to the end as anna and return the bytes of footage that came."""
    return sum(len(answer.fragment.bytes) for answer in played(client, "anna", opened, grant=grant))


def works(client: Client, opened: playback.Open, grant: str) -> bool:
    """Say whether footage can be seen; raises Refusal for anything but a service that is away."""
    try:
        return seen(client, opened, grant) > 0
    except Refusal as refusal:
        if refusal.code not in AWAY:
            raise
        return False


def test_no_log_no_pictures(platform: Platform, client: Client, witnesses: list[Witness]) -> None:
    """While the audit log does not answer nobody sees footage, and once it does people see it again, logged."""
    opened, between = newest_footage(witnesses[0])
    grant = granted(client, (CAMERA,), (between[0] - timedelta(seconds=5), between[1] + timedelta(seconds=5))).token
    assert seen(client, opened, grant) > 0
    before = time.time()
    for way in ("refuses", "hangs"):
        with stays_away(platform, "audit", way):
            with pytest.raises(Refusal) as refused:
                seen(client, opened, grant)
            assert (refused.value.code, refused.value.reason) == ("UNAVAILABLE", "AUDIT_UNAVAILABLE"), way
        eventually(lambda: works(client, opened, grant), 30, "playback after the log came back", every=0.5)
    search = log.SearchRequest(controller="ks", action="footage.playback.opened", page_size=1000)
    getattr(search, "from").CopyFrom(stamp(datetime.fromtimestamp(before, UTC)))

    def logged() -> list[str]:
        records = client.ask("LogService.Search", search, "david").records
        return sorted(one.record.reason for one in records if one.record.result == "denied")

    eventually(lambda: "AUDIT_UNAVAILABLE" in logged(), 30, "the refusals in the log, afterwards")


def test_no_policy_no_pictures(platform: Platform, client: Client, witnesses: list[Witness]) -> None:
    """While access-control does not answer nobody sees footage; recording goes on without it."""
    opened, between = newest_footage(witnesses[0])
    grant = granted(client, (CAMERA,), (between[0] - timedelta(seconds=5), between[1] + timedelta(seconds=5))).token
    before = time.time()
    with stays_away(platform, "access-control", "refuses"):
        with pytest.raises(Refusal) as refused:
            seen(client, opened, grant)
        assert (refused.value.code, refused.value.reason) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")
        time.sleep(6)
    eventually(lambda: works(client, opened, grant), 30, "playback after access-control came back", every=0.5)
    witnesses[0].stored_from(before)
    assert (witnesses[0].loss(before - 5).frames, witnesses[0].gaps(before)) == (0, [])


def test_the_time_without_is_recorded(witnesses: list[Witness]) -> None:
    """When things have settled, every second of all outages is recorded, not merely explained."""
    until = BACK[-1] if BACK else time.time()
    for witness in witnesses:
        balance = witness.settled(witness.begun, until)
        assert balance.explained_ms == 0
