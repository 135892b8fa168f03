"""A camera fails: what it did not send is a declared gap with the right cause, and an event tells people."""

from __future__ import annotations

import time

import pytest
from lykta.storage.v1 import playback_service_pb2 as playback

from tests.integration.client import instant
from tests.integration.facts import events, newest
from tests.integration.harness import Platform, eventually
from tests.integration.witness import Witness

FAULT_SECONDS = 8.0
QUIET: list[float] = []
"""When the last fault was over."""


@pytest.mark.parametrize(
    ("kind", "causes"),
    [
        ("freeze", {playback.GAP_CAUSE_CAMERA, playback.GAP_CAUSE_NETWORK}),
        ("hang", {playback.GAP_CAUSE_CAMERA, playback.GAP_CAUSE_NETWORK}),
        ("refuse", {playback.GAP_CAUSE_CAMERA, playback.GAP_CAUSE_NETWORK}),
        ("disconnect", {playback.GAP_CAUSE_CAMERA, playback.GAP_CAUSE_NETWORK}),
    ],
)
def test_a_camera_that_stops(kind: str, causes: set[int], platform: Platform, witnesses: list[Witness]) -> None:
    """A camera that stops sending is reported lost, its silence is a gap of its own doing, and recording comes back."""
    witness, other = witnesses
    for one in witnesses:
        one.is_recorded()
    seen, at = newest(platform.file, "CAMERA"), time.time()
    if kind == "disconnect":
        platform.fault(witness.camera, kind)
    else:
        platform.fault(witness.camera, kind, seconds=FAULT_SECONDS)
    lost = eventually(lambda: events(platform.file, "CAMERA", "camera.lost", seen), 30, "camera.lost", every=0.5)
    assert {(one["data"]["camera"], one["data"]["cause"]) for one in lost} <= {
        (witness.camera, playback.GapCause.Name(cause).removeprefix("GAP_CAUSE_")) for cause in causes
    }
    witness.stored_from(at + (0 if kind == "disconnect" else FAULT_SECONDS))
    declared = eventually(lambda: witness.gaps(at), 30, "a declared gap", every=0.5)
    assert {gap.cause for gap in declared} <= causes
    length = sum(instant(gap.to).timestamp() - instant(getattr(gap, "from")).timestamp() for gap in declared)
    assert kind == "disconnect" or length > FAULT_SECONDS - 2
    loss = witness.loss(at - 5)
    assert loss.strangers == []
    for session, broken in loss.incomplete.items():
        assert loss.only_at_the_end_of(session)
        assert len(broken) == 1, "whole GOPs were received and are not stored"
    assert (other.loss(at - 5).frames, other.gaps(at)) == (0, [])

    QUIET.append(time.time())


def test_lost_packets_are_told(platform: Platform, witnesses: list[Witness]) -> None:
    """A camera whose packets get lost is recorded on, and the fragments concerned say so."""
    witness = witnesses[0]
    witness.is_recorded()
    at = time.time()
    platform.fault(witness.camera, "drop", probability=0.05, seconds=4)
    witness.stored_from(at + 5)
    from tests.integration.footage import trailer

    marks = [
        entry["damaged"]
        for segment in witness.listed()
        if instant(segment.to).timestamp() > at
        for entry in trailer(witness.bucket.object(segment.object_key))["fragments"]
    ]
    assert any(marks)
    assert not all(marks)


def test_a_wrong_clock_is_told(platform: Platform, witnesses: list[Witness]) -> None:
    """A camera whose clock is off is reported with how much, and goes on being recorded on the platform's time."""
    witness = witnesses[0]
    witness.is_recorded()
    seen, at = newest(platform.file, "CAMERA"), time.time()
    platform.fault(witness.camera, "clock", offset_s=-90.0)

    def skewed() -> list[int]:
        found = events(platform.file, "CAMERA", "camera.clock-skewed", seen)
        return [one["data"]["offset_ms"] for one in found if one["data"]["camera"] == witness.camera]

    offsets = eventually(skewed, 30, "camera.clock-skewed", every=0.5)
    assert all(-91_000 < offset < -89_000 for offset in offsets)
    witness.stored_from(at)
    platform.clear(witness.camera)
    assert (witness.loss(at - 5).frames, witness.gaps(at)) == (0, [])


def test_every_second_is_accounted_for(witnesses: list[Witness]) -> None:
    """When things have settled, what the cameras did not send lies in declared gaps, to the second."""
    until = QUIET[-1] if QUIET else time.time()
    for witness in witnesses:
        witness.settled(witness.begun, until)
