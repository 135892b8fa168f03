"""PostgreSQL loses its power while the log is written: no receipt is lost, and nothing needs a restart."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from lykta.audit.v1 import log_service_pb2 as pb
from lykta_testing.postgres import OwnServer
from lykta_verify.log import verify_log

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]


async def test_the_log_outlives_its_database(harness: Any, postgresql: OwnServer, tmp_path: Path) -> None:
    """Killed amid appends and started again: every receipt stands, the same process writes on, and the log verifies."""
    url = await asyncio.to_thread(postgresql.new_database)
    harness.backbone.use_database(harness.database_name, url)
    async with harness.service() as health, harness.stub() as stub:
        receipts = list((await stub.Append(harness.batch(0, 300))).receipts)
        await stub.GetCheckpoint(pb.GetCheckpointRequest(min_size=300), timeout=25)
        receipts += (await stub.Append(harness.batch(300, 310))).receipts
        await asyncio.to_thread(postgresql.kill)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Append(harness.batch(310, 320))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "UNAVAILABLE" in (await health.failures())["database"]
        await asyncio.to_thread(postgresql.start)
        receipts += (await harness.accepted(stub, harness.batch(310, 320))).receipts
        assert [receipt.index for receipt in receipts] == list(range(320))
        await stub.GetCheckpoint(pb.GetCheckpointRequest(min_size=320), timeout=25)
        assert (await harness.accepted(stub, harness.batch(0, 320))).receipts == receipts
    report = verify_log(await harness.download(tmp_path / "log"), harness.vkey)
    assert report.holds, report.text()
