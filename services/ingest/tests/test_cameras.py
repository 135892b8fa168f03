"""What a camera may do wrong, and what the recorder then says, declares and goes on doing."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lykta_camera_sim import CameraSpec, SdpOptions
from lykta_contracts.events import CameraClockSkewed, CameraLost
from lykta_contracts.media import GapCause
from lykta_testing.platform import eventually

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        # One rig each: a camera is what it is from its start.
        ({"answer_status": 404}, "path"),
        ({"answer_status": 302, "redirect_to": "rtsp://127.0.0.1:9/x"}, "redirect"),
        ({"password": "other"}, "user name or password"),
        ({"answer_status": 454}, "454"),
        ({"sdp": SdpOptions(codec="H265")}, "H.264"),
        ({"sdp": SdpOptions(packetization_mode=2)}, "packetization"),
        ({"sdp": SdpOptions(replacement="v=0\r\ns=x\r\nm=audio 0 RTP/AVP 8\r\n")}, "no video"),
        ({"sdp": SdpOptions(padding_bytes=70_000)}, "64 KiB"),
    ],
    ids=["404", "redirect", "401", "454", "codec", "mode", "audio-only", "huge"],
)
async def test_a_camera_that_cannot_be_recorded_is_named_with_advice(
    tmp_path: Path, camera_spec: CameraSpec, open_rig: Any, recorder_of: Any, change: dict[str, Any], word: str
) -> None:
    """The session says what is wrong and what to set; the missing time is declared; nothing is stored."""
    async with open_rig(tmp_path, replace(camera_spec, **change)) as rig:
        await rig.publish_keys()
        await rig.publish(rig.order())
        async with recorder_of(rig):

            async def told() -> bool:
                found = await rig.session()
                return bool(found and word in found.detail)

            await eventually(told, 50, "the advice")
            assert "rtsp://" not in (await rig.session()).detail
            await eventually(rig.gaps, 50, "the gap")
        assert await rig.segments() == []
        assert rig.simulator.stats("torget-1").plays == 0


async def test_b_frames_are_refused_with_advice(
    tmp_path: Path, camera_spec: CameraSpec, footage_with_b_frames: Path, open_rig: Any, recorder_of: Any
) -> None:
    """A stream with B-frames is refused, whether the SDP shows them or only the pictures do."""
    for shown in (True, False):
        spec = replace(camera_spec, path=footage_with_b_frames, sdp=SdpOptions(with_parameter_sets=shown))
        directory = tmp_path / str(shown)
        directory.mkdir()
        async with open_rig(directory, spec) as rig:
            await rig.publish_keys()
            await rig.publish(rig.order())
            async with recorder_of(rig, camera_credentials_file=directory / "cameras.json"):
                found = await eventually(lambda: rig.in_state("FAILED"), 50, "the refusal")
                assert "B-frames" in found.detail
            assert await rig.segments() == []


async def test_an_address_outside_the_allow_list_is_never_connected_to(rig: Any, recorder_of: Any) -> None:
    """A camera address outside the configured networks is refused before any connection."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig, camera_allow="10.0.0.0/8"):
        found = await eventually(lambda: rig.in_state("FAILED"), 50, "the refusal")
        assert "allowed" in found.detail
    assert rig.simulator.stats("torget-1").requests == 0


async def test_a_disconnection_costs_a_declared_gap_and_recording_goes_on(rig: Any, recorder_of: Any) -> None:
    """After a lost connection: camera.lost, a gap with a cause, and then footage again, without any silent hole."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig):
        before = await eventually(lambda: rig.segments_at_least(1), 50, "a segment")
        rig.simulator.fault("torget-1", "disconnect", mid_frame=True)
        rig.simulator.fault("torget-1", "refuse", seconds=1.5)

        async def again() -> list[Any]:
            found = await rig.segments()
            return found if {one.epoch for one in found} - {before[0].epoch} else []

        segments = await eventually(again, 50, "a new epoch")
        gaps = await eventually(rig.gaps, 50, "the gap")
        lost = [one for one in await rig.events("camera") if isinstance(one, CameraLost)]
    assert lost
    assert lost[0].cause in {GapCause.CAMERA, GapCause.NETWORK}
    spans = sorted((one.from_at, one.to_at) for one in [*segments, *gaps] if one.to_at > segments[0].from_at)
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert (start - end).total_seconds() < 0.1


async def test_lost_packets_mark_fragments_and_nothing_stops(rig: Any, recorder_of: Any) -> None:
    """Under packet loss the recorder goes on; fragments that lost something are marked as damaged."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig):
        await eventually(lambda: rig.in_state("RECORDING"), 50, "recording")
        rig.simulator.fault("torget-1", "drop", probability=0.2, seconds=2)

        async def damaged() -> bool:
            return any(part.damaged for one in await rig.segments() for part in one.fragments)

        await eventually(damaged, 50, "a damaged fragment")
        rig.simulator.clear("torget-1")
        total = len(await rig.segments())

        async def healthy() -> bool:
            found = await rig.segments()
            return len(found) > total + 1 and not any(part.damaged for part in found[-1].fragments)

        await eventually(healthy, 50, "undamaged fragments again")


async def test_a_silent_camera_is_lost_and_its_time_declared(rig: Any, recorder_of: Any) -> None:
    """A camera that keeps the connection and sends nothing is given up after the allowed silence."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig, camera_silence_seconds=1):
        await eventually(lambda: rig.in_state("RECORDING"), 50, "recording")
        rig.simulator.fault("torget-1", "freeze")

        async def lost() -> bool:
            return any(isinstance(one, CameraLost) and "no video" in one.detail for one in await rig.events("camera"))

        await eventually(lost, 50, "the loss")


async def test_a_wrong_camera_clock_is_reported_and_not_obeyed(
    tmp_path: Path, camera_spec: CameraSpec, open_rig: Any, recorder_of: Any
) -> None:
    """A camera an hour off is told of in an event and in the index; the times of footage stay the platform's."""
    async with open_rig(tmp_path, replace(camera_spec, clock_offset_s=3600.0)) as rig:
        order = rig.order()
        await rig.publish_keys()
        await rig.publish(order)
        async with recorder_of(rig):
            segments = await eventually(lambda: rig.segments_at_least(1), 50, "a segment")
            skewed = [one for one in await rig.events("camera") if isinstance(one, CameraClockSkewed)]
        assert abs(skewed[0].offset_ms - 3_600_000) < 5_000
        assert segments[0].clock.source == "rtcp"
        assert abs((segments[0].from_at - order.issued_at).total_seconds()) < 30


async def test_credentials_reach_no_event_and_no_log(rig: Any, recorder_of: Any, capfd: Any, tmp_path: Path) -> None:
    """User name and password of a camera occur in nothing that is published or logged."""
    secret = tmp_path / "secret.json"
    secret.write_text('{"cam": {"username": "canary-user", "password": "canary-word"}}')
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig, camera_credentials_file=secret):
        found = await eventually(lambda: rig.in_state("CONNECTING"), 50, "the failure")
        await eventually(rig.gaps, 50, "the gap")
        published = repr(await rig.gaps()) + repr(await rig.events("camera")) + found.detail
    out, err = capfd.readouterr()
    assert "canary" not in published + out + err
