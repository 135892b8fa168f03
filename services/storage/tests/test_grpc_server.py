"""Listing and coverage over gRPC: what is told, to whom, and in which pages."""

from datetime import datetime, timedelta
from typing import Any

import grpc
import pytest
from lykta.storage.v1 import catalogue_service_pb2 as pb2
from lykta_contracts.events import GapDeclared, MandateApproved, MandateEnded
from lykta_contracts.media import GapCause
from lykta_testing.platform import eventually

from .conftest import CAMERA, CONTROLLER, START, World, bearer, reason_of


def coverage(start: datetime, end: datetime, camera: str = CAMERA) -> Any:
    """Return a request for coverage."""
    request = pb2.CoverageRequest(controller=CONTROLLER, camera=camera)
    getattr(request, "from").FromDatetime(start)
    request.to.FromDatetime(end)
    return request


def listing(**more: Any) -> Any:
    """Return a request for everything of the camera."""
    request = pb2.ListFootageRequest(controller=CONTROLLER, camera=CAMERA, **more)
    request.to.FromDatetime(START + timedelta(hours=1))
    return request


async def test_pages_are_whole_and_end(running: World) -> None:
    """Pages list every segment once, oldest first, and the last page has no token."""
    made = await running.recorded(*(START + timedelta(seconds=6 * number) for number in range(5)))
    names, token = [], ""
    for _ in range(3):
        reply = await running.stubs.catalogue.ListFootage(listing(page_size=2, page_token=token), **bearer())
        names += [segment.segment_id for segment in reply.segments]
        token = reply.next_page_token
    assert (names, token) == ([segment.index.segment_id for segment in made], "")
    assert {segment.object_key for segment in reply.segments} == {""}
    assert running.policy.asked[-1].action == "footage.list"


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("ListFootage", listing()),
        ("ListGaps", pb2.ListGapsRequest(controller=CONTROLLER, camera=CAMERA)),
        ("Coverage", coverage(START, START + timedelta(hours=1))),
    ],
)
async def test_strangers_are_told_nothing(running: World, method: str, request_: Any) -> None:
    """Another controller's person gets NOT_FOUND, a role without the right a refusal, nobody's token neither."""
    call = getattr(running.stubs.catalogue, method)
    for who, refusal, reason in (
        ("eva-token", "", "NOT_FOUND"),
        ("anna-token", "ROLE", "ROLE"),
        ("x", "", "UNAUTHENTICATED"),
    ):
        running.policy.refusal = refusal
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(request_, **bearer(who))
        assert reason_of(caught.value) == reason
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(request_)
    assert reason_of(caught.value) == "UNAUTHENTICATED"


@pytest.mark.parametrize("more", [{"page_token": "x"}, {"page_size": -1}])
async def test_a_bad_page_is_refused(running: World, more: dict[str, Any]) -> None:
    """A page token that is not ours and a negative size are INVALID_FIELD."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.stubs.catalogue.ListFootage(listing(**more), **bearer())
    assert reason_of(caught.value) == "INVALID_FIELD"


async def test_coverage_balances(running: World) -> None:
    """Scheduled time since the approval is recorded, explained, unexplained and pending, and adds up."""
    await running.recorded(START, START + timedelta(seconds=6))
    gap = GapDeclared(
        gap_id="gap_1", controller=CONTROLLER, camera=CAMERA, from_at=START + timedelta(seconds=12),
        to_at=START + timedelta(seconds=30), cause=GapCause.CAMERA,
    )  # fmt: skip
    await running.publish(gap, "gap-1")
    await running.clock.advance(timedelta(minutes=3))
    request = coverage(START - timedelta(hours=1), START + timedelta(hours=1), camera="")

    async def balanced() -> Any:
        (found,) = (await running.stubs.catalogue.Coverage(request, **bearer())).cameras
        return found if found.gaps else None

    found = await eventually(balanced, what="the gap in the balance")
    assert (found.camera, found.scheduled_ms, found.recorded_ms) == (CAMERA, 180_000, 12_000)
    assert (found.explained_ms, found.unexplained_ms, found.pending_ms) == (18_000, 90_000, 60_000)
    assert [gap.to.ToJsonString() for gap in found.unexplained] == ["2026-06-01T12:32:00Z"]


async def test_coverage_knows_when_a_mandate_was_approved_and_ended(running: World) -> None:
    """The approval's instant begins the schedule and the end ends it, also when storage saw the orders later."""
    await running.publish(
        MandateApproved(controller=CONTROLLER, mandate_id="man_1", version=1, cameras=(CAMERA,), approved_by="bo"), "a"
    )
    await running.clock.advance(timedelta(minutes=10))
    await running.order()
    await running.recipient("20260601T12")
    await running.clock.advance(timedelta(minutes=10))
    await running.publish(
        MandateEnded(controller=CONTROLLER, mandate_id="man_1", cameras=(CAMERA,), ended_by="bo", reason="x"), "e"
    )
    await running.clock.advance(timedelta(minutes=10))
    await running.order(status="ended")
    request = coverage(START - timedelta(hours=1), START + timedelta(hours=1))

    async def scheduled() -> bool:
        (found,) = (await running.stubs.catalogue.Coverage(request, **bearer())).cameras
        return bool(found.scheduled_ms == 20 * 60_000)

    await eventually(scheduled, what="the schedule from approval to end")


async def test_coverage_is_bounded(running: World) -> None:
    """Coverage needs a beginning and is asked for 31 days at most."""
    for request in (
        pb2.CoverageRequest(controller=CONTROLLER),
        coverage(START - timedelta(days=40), START),
        coverage(START, START - timedelta(days=1)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stubs.catalogue.Coverage(request, **bearer())
        assert reason_of(caught.value) == "INVALID_FIELD"
