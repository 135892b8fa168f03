"""The recorder records exactly while a good signed order covers the camera and the hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lykta_common.signing import Signer, new_key_pair
from lykta_contracts.instants import to_ms
from lykta_contracts.schedule import Schedule, Window
from lykta_testing.platform import eventually

pytestmark = pytest.mark.timeout(180)


async def refused(rig: Any, recorder_of: Any, capsys: Any, word: str) -> None:
    """Run a recorder and expect a refusal that names the reason, and no footage."""
    async with recorder_of(rig):
        await eventually(lambda: "mandate_refused" in capsys.readouterr().out, 50, "a refusal")
        await rig.publish(rig.order(camera="other"))
        await eventually(lambda: rig.session("other"), 50, "the order after it")
        assert await rig.session() is None
    assert await rig.segments() == []
    assert word


async def test_an_order_with_a_bad_signature_is_refused(
    rig: Any, recorder_of: Any, capsys: Any, tmp_path: Path
) -> None:
    """An order signed by another key is refused with a reason; the camera is not even connected to."""
    new_key_pair(tmp_path / "stranger.pem", tmp_path / "stranger.pub.pem")
    stranger = Signer("access-control", Signer.from_file(tmp_path / "stranger.pem").private_key)
    await rig.publish_keys()
    await rig.publish(rig.order(), signer=stranger)
    await refused(rig, recorder_of, capsys, "signature")
    assert rig.simulator.stats("torget-1").requests == 0


async def test_an_order_found_under_another_cameras_key_is_refused(rig: Any, recorder_of: Any, capsys: Any) -> None:
    """A good order put under the key of another camera is not obeyed for either."""
    await rig.publish_keys()
    await rig.publish(rig.order(), key="ks.torget-2")
    await refused(rig, recorder_of, capsys, "torget-2")


async def test_an_expired_order_records_nothing_and_says_so(rig: Any, recorder_of: Any) -> None:
    """Under a mandate whose time is over the camera is not connected to."""
    now = datetime.now(UTC)
    await rig.publish_keys()
    await rig.publish(rig.order(valid_from=now - timedelta(days=2), valid_to=now - timedelta(days=1)))
    async with recorder_of(rig):
        found = await eventually(lambda: rig.in_state("NOT_ALLOWED"), 50, "the refusal")
        assert "mandate" in found.detail
    assert rig.simulator.stats("torget-1").requests == 0


async def test_an_ended_mandate_stops_the_recording_at_once_and_a_replay_does_not_start_it(
    rig: Any, recorder_of: Any
) -> None:
    """After the end order nothing later than it is stored; the older live order, put again, is refused."""
    live = rig.order()
    await rig.publish_keys()
    await rig.publish(live)
    async with recorder_of(rig):
        await eventually(lambda: rig.segments_at_least(1), 50, "a segment")
        ended = rig.order(live=False)
        await rig.publish(ended)
        await eventually(lambda: rig.in_state("NOT_ALLOWED"), 5, "the stop")
        assert rig.simulator.stats("torget-1").teardowns >= 1
        await rig.publish(live)
        await rig.publish(rig.order(camera="other"))
        await eventually(lambda: rig.session("other"), 50, "the order after the replay")
        assert await rig.in_state("NOT_ALLOWED")
        frames = rig.simulator.stats("torget-1").frames_sent

        async def explained() -> bool:
            segments, gaps = await rig.segments(), await rig.gaps()
            return max(one.to_at for one in [*segments, *gaps]) >= ended.issued_at - timedelta(milliseconds=100)

        await eventually(explained, 50, "everything up to the end to be recorded or declared")
        assert all(to_ms(one.to_at) <= to_ms(ended.issued_at) for one in await rig.segments())
        assert rig.simulator.stats("torget-1").frames_sent == frames


async def test_the_end_survives_a_restart_without_nats_values(rig: Any, recorder_of: Any) -> None:
    """The ended order is held on disk: a recorder restarted with the old live order in the bucket does not record."""
    live = rig.order()
    await rig.publish(live)
    async with recorder_of(rig):
        await eventually(lambda: rig.session(), 50, "the order")
        await rig.publish(rig.order(live=False))
        await eventually(lambda: rig.in_state("NOT_ALLOWED"), 50, "the stop")
    requests = rig.simulator.stats("torget-1").requests
    await rig.publish(live)
    async with recorder_of(rig):
        await rig.publish(rig.order(camera="other"))
        await eventually(lambda: rig.session("other"), 50, "a later order")
        assert await rig.session() is None
    assert rig.simulator.stats("torget-1").requests == requests


async def test_the_end_of_the_hours_drops_the_gop_that_reaches_past_it(rig: Any, recorder_of: Any) -> None:
    """Nothing stored ends after the allowed time; the rest up to it is declared."""
    end = datetime.now(UTC) + timedelta(seconds=6)
    await rig.publish_keys()
    await rig.publish(rig.order(valid_to=end))
    async with recorder_of(rig):
        await eventually(lambda: rig.in_state("RECORDING"), 50, "recording")
        await eventually(lambda: rig.in_state("NOT_ALLOWED"), 50, "the end of the hours")

        async def complete() -> bool:
            gaps = await rig.gaps()
            return any(abs(gap.to_at - end) < timedelta(milliseconds=2) for gap in gaps)

        await eventually(complete, 50, "the gap at the end")
        segments = await rig.segments()
    assert segments
    assert all(one.to_at <= end for one in segments)


async def test_outside_its_hours_a_camera_is_left_alone(rig: Any, recorder_of: Any) -> None:
    """A mandate whose local hours do not cover now opens no connection."""
    hour = (datetime.now(UTC) + timedelta(hours=6)).hour
    window = Window(start=f"{hour:02}:00", end=f"{(hour + 1) % 24:02}:00")
    await rig.publish_keys()
    await rig.publish(rig.order(hours=Schedule(timezone="UTC", windows=(window,))))
    async with recorder_of(rig):
        found = await eventually(lambda: rig.in_state("NOT_ALLOWED"), 50, "the refusal")
        assert "hours" in found.detail
    assert rig.simulator.stats("torget-1").requests == 0
