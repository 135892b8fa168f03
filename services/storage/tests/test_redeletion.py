"""After a restore from an older backup: what the log says was deleted is deleted again, and stays so."""

import asyncio
import json
import os
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest
from lykta.storage.v1 import catalogue_service_pb2 as pb2
from lykta_common.errors import PlatformError
from lykta_storage.domain.footage import CameraHour
from lykta_storage.redeletion import Redeleted, read_receipts
from lykta_storage.store import tables
from sqlalchemy import delete, insert, select

from .conftest import CAMERA, CONTROLLER, World

HOUR = CameraHour(CONTROLLER, CAMERA, "20260601T12")
DUE = datetime.fromisoformat("2026-06-01T13:00:00Z") + timedelta(hours=72)
TABLES = (tables.hours, tables.hour_keys, tables.segments)


def leaf(record: Any, **changes: Any) -> bytes:
    """Write a logged record as the log's leaf has it."""
    plain = {
        "entry_id": record.entry_id,
        "occurred_at": record.occurred_at.ToDatetime().isoformat() + "Z",
        "actor": {"kind": "service", "id": record.actor.id},
        "controller": record.controller,
        "action": record.action,
        "object": record.object,
        "result": record.result,
        "details": dict(record.details),
    }
    return json.dumps(plain | changes).encode()


async def set_back(world: World) -> bytes:
    """Record, back up, delete by retention, and put database and bucket back to before; return the receipt."""
    async with world.service():
        (made,) = await world.recorded()
        async with world.wired() as storage, storage.outside.database.reading() as connection:
            kept = {table: [dict(r) for r in (await connection.execute(select(table))).mappings()] for table in TABLES}
        request = pb2.RunRequest()
        request.as_of.FromDatetime(DUE)
        assert len((await world.tool.retention.Run(request)).deletions) == 1
    async with world.wired() as storage, storage.outside.database.transaction() as connection:
        for table, rows in kept.items():
            await connection.execute(delete(table))
            await connection.execute(insert(table), rows)
    await world.bucket.put(made.key, made.payload)
    (receipt,) = world.log.of("footage.hour.deleted")
    return leaf(receipt)


async def test_a_key_that_a_restore_brought_back_is_destroyed_again(world: World) -> None:
    """Key, object and catalogue go again by the receipt, without a second one; running it again changes nothing."""
    line = await set_back(world)
    async with world.wired() as storage:
        assert await storage.keys.identity(HOUR) is not None
        receipts = read_receipts([b"", line])
        assert await storage.redeletion.run(receipts) == Redeleted(receipts=1, keys=1, hours=1)
        assert await storage.redeletion.run(receipts) == Redeleted(receipts=1, keys=0, hours=0)
    assert [found.key async for found in world.bucket.list("footage/")] == []
    async with world.service():
        assert await world.tool_key_reason(HOUR) == "NOT_FOUND"
        assert [item.edge.reason for item in await world.open().all()] == [3]
        assert (await world.tool.retention.Run(pb2.RunRequest())).deletions == []
    assert len(world.log.of("footage.hour.deleted")) == 1


async def test_an_hour_the_backup_does_not_know_stays_deleted(world: World) -> None:
    """A receipt of an hour that is younger than the backup is noted: no key is ever made for it again."""
    line = await set_back(world)
    fresh = world.backbone.database_url("fresh")
    async with world.wired(database_url=fresh) as storage:
        assert await storage.redeletion.run(read_receipts([line])) == Redeleted(receipts=1, keys=0, hours=1)
    async with world.service(database_url=fresh):
        await world.order()
        await world.recipient("20260601T13")
        assert await world.tool_key_reason(HOUR) == "NOT_FOUND"


async def test_another_key_of_the_hour_is_left_alone(world: World) -> None:
    """A receipt names the key it is about: an hour that has another one keeps it."""
    line = await set_back(world)
    async with world.wired() as storage:
        other = json.loads(line)
        other["details"]["recipient"] = "age1another"
        assert await storage.redeletion.run(read_receipts([json.dumps(other).encode()])) == Redeleted(1, 0, 0)
        assert await storage.keys.identity(HOUR) is not None


async def test_the_command_reads_receipts_and_says_what_it_did(world: World) -> None:
    """`python -m lykta_storage delete-again` takes records from standard input, and names a line that is none."""
    line = await set_back(world)
    environment = {
        f"LYKTA_STORAGE__{name.upper()}": str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in world.settings().model_dump().items()
    }

    async def run(lines: bytes) -> tuple[int | None, bytes, bytes]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lykta_storage", "delete-again",
            stdin=pipe, stdout=pipe, stderr=pipe, env=os.environ | environment,
        )  # fmt: skip
        output, errors = await process.communicate(lines)
        return process.returncode, output, errors

    assert (await run(line + b"\n"))[:2] == (0, b"receipts 1, keys destroyed again 1, hours emptied again 1\n")
    code, _, errors = await run(line + b"\nnothing\n")
    assert code == 1
    assert b"line 2 is no audit record" in errors


@pytest.mark.parametrize("missing", ["camera", "hour", "recipient"])
def test_a_receipt_that_names_no_key_is_refused(missing: str) -> None:
    """Half a receipt deletes nothing and says which line it is."""
    details = {"camera": "torg-1", "hour": "20260601T12", "recipient": "age1x"}
    del details[missing]
    record = {
        "entry_id": "a", "occurred_at": "2026-06-04T13:00:00Z", "actor": {"kind": "service", "id": "storage"},
        "controller": "ks", "action": "footage.hour.deleted", "result": "done", "details": details,
    }  # fmt: skip
    with pytest.raises(PlatformError, match="line 1 is no receipt"):
        read_receipts([json.dumps(record).encode()])
    assert read_receipts([json.dumps(record | {"action": "case.open"}).encode()]) == []
