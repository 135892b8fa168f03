"""A camera is recorded end to end on real servers: what was sent is in the bucket, encrypted, sealed and announced."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lykta_camera_sim import CameraSpec
from lykta_common.signing import Verifier
from lykta_contracts.media import seal_statement
from lykta_testing.platform import eventually
from pymerkle import InmemoryTree

pytestmark = pytest.mark.timeout(180)


def nal_units(fragment: bytes, init_length: int) -> list[bytes]:
    """Return the NAL units of the one `mdat` of a fragment."""
    moof = int.from_bytes(fragment[init_length : init_length + 4], "big")
    data = fragment[init_length + moof + 8 :]
    nals = []
    while data:
        size = int.from_bytes(data[:4], "big")
        nals.append(data[4 : 4 + size])
        data = data[4 + size :]
    return nals


def is_run_of(part: list[str], whole: list[str]) -> bool:
    """Say whether the part occurs in the whole without a break."""
    return any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))


async def test_a_mandated_camera_is_recorded_bit_exact(rig: Any, recorder_of: Any, camera: str) -> None:
    """Under a live order, segments reach the bucket with exactly the NAL units the camera sent, and a good seal."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig):
        segments = await eventually(lambda: rig.segments_at_least(2), 50, "two segments")
    recorded = []
    for index in segments:
        assert (index.controller, index.camera, index.place, index.mandate_id) == ("ks", camera, "torget", "man_1")
        for entry, plain in zip(index.fragments, await rig.plaintext(index), strict=True):
            assert not entry.damaged
            recorded += [hashlib.sha256(nal).hexdigest() for nal in nal_units(plain, entry.init_length)]
        seal = index.seal
        statement = seal_statement(index.controller, index.camera, index.hour, (seal.run, seal.count, seal.root))
        public = Verifier.from_file(rig.directory / "public" / "ingest.pub.pem")
        public.verify_raw(seal.key_id, base64.b64decode(seal.signature), statement)
    sent = [one.sha256 for one in rig.simulator.captured(camera)]
    assert set(recorded) <= set(sent)
    assert is_run_of(recorded, sent)
    assert segments[0].to_at == segments[1].from_at
    assert segments[1].seal.first_leaf == len(segments[0].fragments)


async def test_audio_is_never_set_up(rig: Any, recorder_of: Any, camera: str) -> None:
    """A camera that offers audio is asked for its video track only."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig):
        await eventually(lambda: rig.simulator.stats(camera).frames_sent > 5, 50, "pictures")
        assert rig.simulator.stats(camera).audio_setups == 0


async def test_the_hour_root_is_the_rfc_6962_root_of_all_fragments(rig: Any, recorder_of: Any) -> None:
    """The sealed root equals the one an independent library computes over the fragment hashes in order."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig):
        segments = await eventually(lambda: rig.segments_at_least(2), 50, "two segments")
    tree = InmemoryTree(algorithm="sha256")
    for index in segments:
        if index.hour == segments[0].hour:
            for entry in index.fragments:
                tree.append_entry(bytes.fromhex(entry.sha256))
            assert index.seal.root == tree.get_root().hex()
            assert index.seal.count == tree.get_size()


async def test_a_confirmed_segment_frees_the_spool_and_an_unconfirmed_one_does_not(
    rig: Any, recorder_of: Any, tmp_path: Path
) -> None:
    """`segment.stored` lets journal files go; without it the fragments stay on the spool."""
    spool = tmp_path / "spool"
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig, spool_dir=spool, spool_file_bytes=65_536):
        segments = await eventually(lambda: rig.segments_at_least(1), 50, "a segment")
        files = {one.name for one in spool.glob("*.journal")}
        oldest = min(files)
        await eventually(lambda: rig.segments_at_least(2), 50, "another segment")
        assert (spool / oldest).exists()

        async def confirmed() -> bool:
            for index in await rig.segments():
                await rig.confirm(index)
            return not (spool / oldest).exists()

        await eventually(confirmed, 50, "the oldest spool file to go")
    assert segments


async def test_live_parts_begin_with_a_key_part_that_carries_the_init(rig: Any, recorder_of: Any, camera: str) -> None:
    """Live parts come on core NATS, at most half a second each, and a key part is a playable beginning."""
    parts = await rig.nats.subscribe(f"lykta.media.v1.ks.{camera}.main")
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig):
        first = await parts.next_msg(timeout=10)
        assert first.headers["Lykta-Key"] == "1"
        assert base64.b64decode(first.headers["Lykta-Init"])[4:8] == b"ftyp"
        assert first.headers["Lykta-Mandate"] == "man_1/1"
        assert first.headers["traceparent"].startswith("00-")
        assert first.data[4:8] == b"moof"
        other = await parts.next_msg(timeout=10)
        assert "Lykta-Key" not in other.headers
        assert other.headers["Lykta-Epoch"] == first.headers["Lykta-Epoch"]
        step = datetime.fromisoformat(other.headers["Lykta-From"]) - datetime.fromisoformat(first.headers["Lykta-From"])
        assert timedelta() < step <= timedelta(milliseconds=500)


async def test_many_cameras_share_buffers_and_never_pictures(
    tmp_path: Path, camera_spec: CameraSpec, open_rig: Any, recorder_of: Any
) -> None:
    """Eight cameras at different points of their loop are each recorded bit-exact, in order and undamaged."""
    names = [f"cam-{number}" for number in range(8)]
    specs = [replace(camera_spec, name=name, offset_s=number * 0.4) for number, name in enumerate(names)]
    async with open_rig(tmp_path, *specs) as rig:
        for name in names:
            await rig.publish_keys(name)
            await rig.publish(rig.order(name))
        async with recorder_of(rig):

            async def enough() -> bool:
                found = await rig.segments()
                return all(len([one for one in found if one.camera == name]) >= 3 for name in names)

            await eventually(enough, 60, "three segments of each camera")
        segments = await rig.segments()
        for name in names:
            recorded: list[str] = []
            mine = [one for one in segments if one.camera == name]
            for before, index in zip([None, *mine], mine, strict=False):
                if before is not None and before.to_at != index.from_at:
                    break
                for entry, plain in zip(index.fragments, await rig.plaintext(index), strict=True):
                    assert not entry.damaged
                    recorded += [hashlib.sha256(nal).hexdigest() for nal in nal_units(plain, entry.init_length)]
            assert is_run_of(recorded, [one.sha256 for one in rig.simulator.captured(name)])
