"""A camera is recorded end to end on real servers: what was sent is in the bucket, encrypted, sealed and announced."""

from __future__ import annotations

import base64
from typing import Any

from lykta_common.signing import Verifier
from lykta_contracts.media import seal_statement
from lykta_testing.platform import eventually


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


async def test_a_mandated_camera_is_recorded_bit_exact(rig: Any, recorder_of: Any) -> None:
    """Under a live order, segments reach the bucket; their NAL units are those the camera sent, audio never asked for."""
    await rig.publish_keys()
    await rig.publish(rig.order())
    async with recorder_of(rig):

        async def three() -> Any:
            found = await rig.segments()
            return found if len(found) >= 2 else None

        segments = await eventually(three, 20, "two segments")
    sent = {nal.sha256 for record in rig.simulator.captured("torget-1") for nal in record.nals}
    import hashlib

    for index in segments:
        assert index.codec.startswith("avc1.")
        for entry, plain in zip(index.fragments, await rig.plaintext(index), strict=True):
            assert not entry.damaged
            nals = nal_units(plain, entry.init_length)
            assert len(nals) >= entry.frames
            assert {hashlib.sha256(nal).hexdigest() for nal in nals} <= sent
        seal = index.seal
        statement = seal_statement(index.controller, index.camera, index.hour, (seal.run, seal.count, seal.root))
        public = Verifier.from_file(rig.directory / "public" / "ingest.pub.pem")
        public.verify_raw(seal.key_id, base64.b64decode(seal.signature), statement)
    assert segments[0].to_at == segments[1].from_at
