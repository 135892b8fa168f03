"""What still works when something real is killed or cut off: nothing acknowledged is lost, every hole is declared."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lykta_contracts.media import GapCause
from lykta_testing.platform import eventually

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]


def environment(rig: Any, tmp_path: Path, replica: str = "0", **more: Any) -> dict[str, str]:
    """Return the environment of a recorder process."""
    settings = rig.settings(replica, camera_credentials_file=tmp_path / "cameras.json", **more)
    values = settings.model_dump(exclude_none=True) | {"camera_allow": "127.0.0.0/8"}
    return {"PATH": os.environ["PATH"]} | {f"LYKTA_INGEST__{key.upper()}": str(value) for key, value in values.items()}


@asynccontextmanager
async def process(rig: Any, tmp_path: Path, **more: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a recorder as a process of its own; killed at the end when it still runs."""
    with (tmp_path / "recorder.log").open("ab") as log:
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lykta_ingest", env=environment(rig, tmp_path, **more), stdout=log, stderr=log
        )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


def holes(spans: list[tuple[Any, Any]]) -> list[timedelta]:
    """Return the time in no span between the first beginning and the last end; spans may overlap."""
    ordered = sorted(spans)
    ends = itertools.accumulate((end for _, end in ordered), max)
    return [start - end for end, (start, _) in zip(ends, ordered[1:], strict=False) if start - end > timedelta()]


async def test_kill_9_loses_at_most_one_gop_and_declares_it(rig: Any, tmp_path: Path) -> None:
    """Killed twice while recording: all time up to the newest footage is recorded or declared as PLATFORM, no hole."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    for round_number in (1, 2):
        async with process(rig, tmp_path) as running:
            await eventually(lambda n=round_number: rig.segments_at_least(2 * n), 50, "segments")
            running.send_signal(signal.SIGKILL)
            await running.wait()
    async with process(rig, tmp_path):
        await eventually(lambda: rig.segments_at_least(6), 50, "segments after the second kill")
    segments, gaps = await rig.segments(), await rig.gaps()
    runs = {one.seal.run for one in segments}
    assert len(runs) == 3
    killed = [one for one in gaps if one.cause is GapCause.PLATFORM and "not running" in one.detail]
    assert len(killed) == 2
    spans = [(one.from_at, one.to_at) for one in [*segments, *gaps]]
    assert [hole for hole in holes(spans) if hole > timedelta(milliseconds=100)] == []
    by_run: dict[str, list[Any]] = {}
    for one in segments:
        by_run.setdefault(one.seal.run, []).append(one)
    for run_segments in by_run.values():
        leaves = [leaf for s in run_segments for leaf in range(s.seal.first_leaf, s.seal.count)]
        assert leaves == list(range(len(leaves))) or len({s.hour for s in run_segments}) > 1


async def test_recording_goes_on_without_nats_and_s3_and_drains_afterwards(rig: Any, recorder_of: Any) -> None:
    """With NATS and S3 both away the spool fills; when they are back every second is stored, without a gap."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig):
        await eventually(lambda: rig.segments_at_least(1), 50, "a segment")
        before = (await rig.session()).frames
        await rig.backbone.nats.stop(signal.SIGKILL)
        await rig.backbone.s3.stop(signal.SIGKILL)

        async def grown() -> bool:
            return (await rig.session()).frames >= before + 60

        await eventually(grown, 50, "six more seconds of pictures")
        session = await rig.session()
        assert session.fragments_spooled >= 4
        reached = session.recorded_to.ToDatetime().timestamp()
        await rig.backbone.s3.start()
        await rig.backbone.nats.start()
        await rig.reconnect()

        async def drained() -> bool:
            found = await rig.segments()
            late = bool(found) and max(one.to_at for one in found).timestamp() >= reached + 4
            return late and holes([(one.from_at, one.to_at) for one in found]) == []

        await eventually(drained, 50, "the backlog to drain")
        segments, gaps = await rig.segments(), await rig.gaps()
    since_first = [gap for gap in gaps if gap.from_at >= segments[0].from_at]
    assert since_first == []


async def test_a_recorder_starts_and_records_without_nats(rig: Any, recorder_of: Any) -> None:
    """Under the orders and keys it holds on disk a recorder records although NATS is away from the start."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig):
        await eventually(lambda: rig.segments_at_least(1), 50, "a segment")
        await asyncio.sleep(1.2)  # the media keys are written to disk at most once a second
    await rig.backbone.nats.stop()
    async with recorder_of(rig):
        await eventually(lambda: rig.in_state("RECORDING"), 50, "recording without NATS")
        await rig.backbone.nats.start()
        await rig.reconnect()


async def test_a_full_spool_is_declared_and_recording_goes_on_when_space_returns(rig: Any, recorder_of: Any) -> None:
    """At the bound of the spool fragments are refused with a clear word, the time declared as DISK, and it recovers."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    await rig.backbone.s3.stop()
    async with recorder_of(rig, spool_limit_mib=1, spool_file_bytes=65_536):

        async def full() -> bool:
            found = await rig.session()
            return bool(found and "spool" in found.detail)

        await eventually(full, 50, "the spool to be full")
        await eventually(rig.gaps, 50, "the gap, declared while the spool is full")
        await rig.backbone.s3.start()

        async def confirmed() -> bool:
            for index in await rig.segments():
                await rig.confirm(index)
            return bool(await rig.in_state("RECORDING"))

        await eventually(confirmed, 50, "recording again")
        gaps = await rig.gaps()
    assert {gap.cause for gap in gaps if gap.from_at > gaps[0].from_at or "spool" in gap.detail} == {GapCause.DISK}


async def test_two_recorders_for_one_camera_leave_it_to_the_one_with_the_lease(rig: Any, recorder_of: Any) -> None:
    """The second recorder says who records."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig, "a"):
        await eventually(lambda: rig.in_state("RECORDING", replica="a"), 50, "the first recorder")
        async with recorder_of(rig, "b"):
            found = await eventually(lambda: rig.in_state("LEASED_ELSEWHERE", replica="b"), 50, "the second to wait")
            assert "ingest-a" in found.detail
            sessions = rig.simulator.state("torget-1")["viewers"]
            assert sessions == 1
    tokens = {one.fencing_token for one in await rig.segments()}
    assert all(token > 0 for token in tokens)


async def test_a_camera_that_moves_leaves_no_time_unexplained(rig: Any, recorder_of: Any) -> None:
    """A recorder that ends brings out all it recorded; the next one takes over and declares what lies between."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with AsyncExitStack() as stack:
        async with recorder_of(rig, "a"):
            await eventually(lambda: rig.in_state("RECORDING", replica="a"), 50, "the first recorder")
            await stack.enter_async_context(recorder_of(rig, "b"))
            await eventually(lambda: rig.in_state("LEASED_ELSEWHERE", replica="b"), 50, "the second to wait")
            await eventually(lambda: rig.segments_at_least(2), 50, "two segments")
        left = await rig.segments()
        await eventually(lambda: rig.segments_at_least(len(left) + 2), 50, "segments of the second")
        segments, gaps = await rig.segments(), await rig.gaps()
    tokens = [one.fencing_token for one in segments]
    assert tokens == sorted(tokens)
    assert len(set(tokens)) == 2
    assert holes([(one.from_at, one.to_at) for one in (*segments, *gaps)]) == []
    between = min((gap for gap in gaps if gap.from_at >= left[-1].to_at), key=lambda gap: gap.from_at)
    assert (between.from_at, between.cause) == (left[-1].to_at, GapCause.PLATFORM)
    assert "another took it over" in between.detail


async def test_a_camera_of_a_lost_recorder_is_taken_over_and_accounted_for(
    rig: Any, recorder_of: Any, tmp_path: Path
) -> None:
    """A recorder that never comes back leaves its last word in the lease; from there on the next one explains."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with AsyncExitStack() as stack:
        async with process(rig, tmp_path, replica="a") as lost:
            await eventually(lambda: rig.segments_at_least(1), 50, "a segment of the first")
            await stack.enter_async_context(recorder_of(rig, "b"))
            await eventually(lambda: rig.in_state("LEASED_ELSEWHERE", replica="b"), 50, "the second to wait")
            await eventually(lambda: rig.segments_at_least(4), 50, "segments, and a renewal of the lease")
            lost.send_signal(signal.SIGKILL)
            await lost.wait()
        left = await rig.segments()
        await eventually(lambda: rig.segments_at_least(len(left) + 2), 50, "segments of the second")
        segments, gaps = await rig.segments(), await rig.gaps()
    assert len({one.fencing_token for one in segments}) == 2
    assert holes([(one.from_at, one.to_at) for one in (*segments, *gaps)]) == []


async def test_two_processes_cannot_share_a_spool(rig: Any, tmp_path: Path) -> None:
    """The second process on the same spool ends at once and says which process holds it."""
    async with process(rig, tmp_path) as first:
        await eventually(lambda: (tmp_path / "state" / "ingest-0" / "spool" / "lock").exists(), 50, "the lock")
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lykta_ingest", env=environment(rig, tmp_path), stderr=asyncio.subprocess.PIPE
        )
        _, error = await asyncio.wait_for(second.communicate(), 20)
        assert second.returncode == 1
        assert f"in use by process {first.pid}" in error.decode()


async def test_a_process_ends_cleanly_and_keeps_the_last_pictures(rig: Any, tmp_path: Path) -> None:
    """On SIGTERM the process leaves within seconds with status 0, the gathered pictures being in the spool."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with process(rig, tmp_path) as running:
        await eventually(lambda: rig.segments_at_least(1), 50, "a segment")
        running.terminate()
        assert await asyncio.wait_for(running.wait(), 10) == 0


async def test_a_process_ends_in_time_with_everything_away(rig: Any, tmp_path: Path) -> None:
    """Without NATS and store nothing can be brought out: it ends all the same, and the next start brings it out."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with process(rig, tmp_path) as running:
        await eventually(lambda: rig.segments_at_least(2), 50, "segments")
        await rig.backbone.nats.stop(signal.SIGKILL)
        await rig.backbone.s3.stop(signal.SIGKILL)
        await asyncio.sleep(3)
        running.terminate()
        assert await asyncio.wait_for(running.wait(), 10) == 0, (tmp_path / "recorder.log").read_text()[-2000:]
    assert "left_in_spool" in (tmp_path / "recorder.log").read_text()
    await rig.backbone.nats.start()
    await rig.backbone.s3.start()
    await rig.reconnect()
    before = len(await rig.segments())
    async with process(rig, tmp_path):
        await eventually(lambda: rig.segments_at_least(before + 3), 80, "what was left, and more")
        segments, gaps = await rig.segments(), await rig.gaps()
    assert holes([(one.from_at, one.to_at) for one in (*segments, *gaps)]) == []
