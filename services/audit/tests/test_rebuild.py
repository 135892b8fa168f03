"""The database is only an index: it can be made anew from the published log, and only from one that holds."""

from typing import Any

import pytest
from lykta.audit.v1 import log_service_pb2 as pb
from lykta_audit.app import rebuild_database
from lykta_common.clock import SystemClock
from lykta_common.errors import Code, PlatformError
from lykta_common.objectstore import open_bucket


async def test_a_lost_database_is_made_anew_from_the_bucket(harness: Any) -> None:
    """After a rebuild every entry has its old place, and the log goes on from its published end."""
    async with harness.service(), harness.stub() as stub:
        receipts = (await stub.Append(harness.batch(0, 600))).receipts
        await stub.GetCheckpoint(pb.GetCheckpointRequest(min_size=600), timeout=25)
    settings = harness.settings()
    with pytest.raises(PlatformError, match="not empty"):
        await rebuild_database(settings, SystemClock())
    harness.database_name = "new"
    assert await rebuild_database(harness.settings(), SystemClock()) == 600
    async with harness.service(), harness.stub() as stub:
        assert (await stub.Append(harness.batch(0, 600))).receipts == receipts
        assert (await stub.Append(harness.batch(600, 601))).receipts[0].index == 600
        assert (await stub.GetCheckpoint(pb.GetCheckpointRequest(min_size=601), timeout=25)).size == 601


async def test_nothing_is_rebuilt_from_a_log_that_does_not_hold(harness: Any) -> None:
    """Nothing published, a foreign checkpoint, a changed or cut bundle: each is refused and writes no row."""
    settings = harness.settings()
    bucket = open_bucket(harness.backbone.s3_settings(), "lykta-audit")
    with pytest.raises(PlatformError, match="was not found"):
        await rebuild_database(settings, SystemClock())
    async with harness.service(), harness.stub() as stub:
        await stub.Append(harness.batch(0, 3))
        await stub.GetCheckpoint(pb.GetCheckpointRequest(min_size=3), timeout=25)
    harness.database_name = "new"
    settings = harness.settings()
    path = "tile/entries/000.p/3"
    good, note = await bucket.get(path), await bucket.get("checkpoint")
    for name, payload in (
        (path, good.replace(b"allowed", b"alloweD")),
        (path, good[:-1]),
        (path, b""),
        ("checkpoint", note.replace(b"\n3\n", b"\n4\n")),
    ):
        await bucket.put(name, payload)
        with pytest.raises(PlatformError) as refused:
            await rebuild_database(settings, SystemClock())
        assert refused.value.code is Code.DATA_LOSS
        await bucket.put(path, good)
    await bucket.put("checkpoint", note)
    assert await rebuild_database(settings, SystemClock()) == 3
