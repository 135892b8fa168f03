"""What a crash, an outage or a hand in the data leaves behind: healed, or found and named."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from lykta.audit.v1 import log_service_pb2 as pb
from lykta_audit import merkle
from lykta_audit.store import tables
from lykta_common.objectstore import open_bucket
from lykta_contracts.audit import Actor, AuditRecord, leaf_bytes
from lykta_testing.platform import eventually
from lykta_verify.log import verify_log
from sqlalchemy import Executable, delete, insert, select, text, update

DPO = (("authorization", "Bearer dpo"),)


async def published(stub: Any, size: int) -> Any:
    """Wait for a checkpoint of at least this size."""
    return await stub.GetCheckpoint(pb.GetCheckpointRequest(min_size=size), timeout=25)


UNPUBLISHED = update(tables.log).values(published_size=0, checkpoint=b"")
"""What the database looks like when the publication was never noted in it."""


async def halted(harness: Any, **more: Any) -> str:
    """Start the service on data that do not hold; give what its health says once it has halted."""
    async with harness.service(ready=False, **more) as health:

        async def integrity() -> str:
            why = (await health.failures()).get("log", "")
            return why if "INTEGRITY" in why else ""

        why = str(await eventually(integrity, what="the halt"))
        async with harness.stub() as stub:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Append(harness.batch(5000, 5001))
            assert refused.value.code() is grpc.StatusCode.DATA_LOSS
        return why


@pytest.mark.fault
@pytest.mark.timeout(180)
async def test_kill_between_commit_and_publication_loses_nothing(harness: Any, tmp_path: Path) -> None:
    """With S3 away appends still get receipts; killed before publishing, a new process publishes exactly them."""
    await harness.backbone.s3.stop()
    process = await harness.process()
    async with harness.stub() as stub:
        request = harness.batch(0, 300)
        receipts = (await harness.accepted(stub, request)).receipts
        assert (await stub.GetCheckpoint(pb.GetCheckpointRequest())).size == 0
    process.kill()
    await process.wait()
    await harness.backbone.s3.start()
    async with harness.service(), harness.stub() as stub:
        assert (await stub.Append(request)).receipts == receipts
        await published(stub, 300)
    report = verify_log(await harness.download(tmp_path / "log"), harness.vkey)
    assert report.holds, report.text()
    assert report.facts["size"] == 300


@pytest.mark.fault
@pytest.mark.timeout(180)
async def test_kills_at_any_moment_lose_nothing_that_was_acknowledged(harness: Any, tmp_path: Path) -> None:
    """Killed three times while it writes and publishes: every receipt stands, the log verifies against old notes."""
    receipts: list[Any] = []
    notes: list[bytes] = []
    for life in range(3):
        process = await harness.process()
        async with harness.stub() as stub:
            begin = life * 10_000
            await harness.accepted(stub, harness.batch(begin, begin + 1))
            notes.append((await published(stub, 1)).checkpoint.encode())
            writing = asyncio.create_task(_write_until_refused(stub, harness, begin + 1, receipts))
            wanted = len(receipts) + 40 + 17 * life
            await eventually(lambda wanted=wanted: len(receipts) >= wanted, what="some receipts")
            process.kill()
            await process.wait()
            await writing
    async with harness.service(), harness.stub() as stub:
        await published(stub, max(receipt.index for receipt in receipts) + 1)
        for receipt in receipts[:: len(receipts) // 20]:
            entry = await stub.GetEntry(pb.GetEntryRequest(entry_id=receipt.entry_id), metadata=DPO)
            assert (entry.record.index, merkle.leaf_hash(entry.leaf)) == (receipt.index, receipt.leaf_hash)
    log = await harness.download(tmp_path / "log")
    for note in notes:
        report = verify_log(log, harness.vkey, note)
        assert report.holds, report.text()


async def _write_until_refused(stub: Any, harness: Any, begin: int, receipts: list[Any]) -> None:
    """Append small batches until the service is gone; keep what was acknowledged."""
    while True:
        try:
            receipts += (await stub.Append(harness.batch(begin, begin + 3))).receipts
        except grpc.aio.AioRpcError:
            return
        begin += 3


@pytest.mark.fault
@pytest.mark.timeout(180)
async def test_publication_catches_up_after_an_outage_of_the_store(harness: Any, tmp_path: Path) -> None:
    """While S3 is away the service stays ready and takes appends; when it is back all of them are published."""
    async with harness.service() as health, harness.stub() as stub:
        await stub.Append(harness.batch(0, 10))
        await published(stub, 10)
        await harness.backbone.s3.stop()
        await stub.Append(harness.batch(10, 600))
        assert await health.failures() == {}
        await harness.backbone.s3.start()
        await published(stub, 600)
    report = verify_log(await harness.download(tmp_path / "log"), harness.vkey)
    assert report.holds, report.text()


@pytest.mark.fault
@pytest.mark.timeout(180)
async def test_a_second_process_stands_by_and_takes_over(harness: Any) -> None:
    """Of two processes one writes; the other refuses clearly, serves reads, and writes once the first is killed."""
    process = await harness.process("0")
    async with harness.stub("storage", "0") as first:
        await harness.accepted(first, harness.batch(0, 3))
        await published(first, 3)
        async with harness.service("1", ready=False) as health, harness.stub("storage", "1") as second:
            with pytest.raises(grpc.aio.AioRpcError, match="stands by") as refused:
                await second.Append(harness.batch(3, 4))
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "log" in await health.failures()
            assert (await published(second, 3)).size == 3
            process.kill()
            await process.wait()
            assert (await harness.accepted(second, harness.batch(3, 4))).receipts[0].index == 3


async def test_an_orderly_end_hands_the_log_over_at_once(harness: Any) -> None:
    """The lease is given back at the end: with a lease of a minute, the next process writes within the wait."""
    for number in range(2):
        async with harness.service(str(number), lease_ms=60_000), harness.stub("storage", str(number)) as stub:
            assert (await stub.Append(harness.batch(number, number + 1))).receipts[0].index == number


async def test_a_crash_before_the_database_knew_of_the_checkpoint_heals(harness: Any, tmp_path: Path) -> None:
    """A checkpoint that is in the bucket and not noted in the database is taken up, and told, after the restart."""
    async with harness.service(), harness.stub() as stub:
        await stub.Append(harness.batch(0, 300))
        await published(stub, 300)
    await harness.change(UNPUBLISHED)
    async with harness.service(), harness.stub() as stub:
        await published(stub, 300)
        await stub.Append(harness.batch(300, 301))
        await published(stub, 301)
    assert verify_log(await harness.download(tmp_path / "log"), harness.vkey).holds


async def test_a_checkpoint_that_was_set_back_heals(harness: Any, tmp_path: Path) -> None:
    """When the bucket has an older checkpoint of this log than the database noted, the newer one is put again."""
    bucket = open_bucket(harness.backbone.s3_settings(), "lykta-audit")
    async with harness.service(), harness.stub() as stub:
        await stub.Append(harness.batch(0, 3))
        old = (await published(stub, 3)).checkpoint.encode()
        await stub.Append(harness.batch(3, 5))
        newest = (await published(stub, 5)).checkpoint.encode()
    await bucket.put("checkpoint", old)
    async with harness.service():

        async def restored() -> bool:
            return bool(await bucket.get("checkpoint") == newest)

        await eventually(restored, what="the newest checkpoint")


FORGED = leaf_bytes(
    AuditRecord(
        entry_id="aud_7",
        occurred_at=datetime(2026, 11, 23, tzinfo=UTC),
        actor=Actor(kind="person", id="anna"),
        action="nothing.happened",
        result="done",
    )
)


def edited(index: int, **values: Any) -> Executable:
    """Edit one entry's row."""
    return update(tables.entry).where(tables.entry.c.idx == index).values(**values)


def removed(index: int) -> Executable:
    """Delete one entry's row."""
    return delete(tables.entry).where(tables.entry.c.idx == index)


EDITS = [
    (edited(7, leaf=FORGED), "entry 7 was changed"),
    (edited(290, leaf=FORGED), "entry 290 was changed"),
    (edited(291, leaf=b"no record"), "entry 291 was changed"),
    (edited(8, leaf_hash=bytes(32)), "entry 8 was changed"),
    (edited(9, controller="other"), "what entry 9 is searched by"),
    (edited(11, entry_id="other"), "what entry 11 is searched by"),
    (removed(10), "entry 10 is missing"),
    (removed(299), "300 entries are published and the database has 299"),
    (update(tables.tile).values(data=bytes(8192)), "tile 0/0 in the database"),
    (update(tables.tile).values(root=bytes(32)), "does not give the published root of 300"),
    (update(tables.log).values(checkpoint=b"another"), "the checkpoint in the database"),
]
TABLES = (tables.entry, tables.tile, tables.log)


@pytest.mark.timeout(180)
async def test_a_database_edited_behind_our_back_is_found_and_named(harness: Any) -> None:
    """Whatever row is edited, the service names it after the restart and writes no more; the bucket still verifies."""
    async with harness.service(), harness.stub() as stub:
        await stub.Append(harness.batch(0, 300))
        await published(stub, 300)
    async with harness.database() as database, database.reading() as connection:
        kept = {table: (await connection.execute(select(table))).mappings().all() for table in TABLES}
    for change, named in EDITS:
        await harness.change(change)
        assert named in await halted(harness), named
        for table in TABLES:
            await harness.change(delete(table), insert(table).values([dict(row) for row in kept[table]]))
    report = verify_log(await harness.download(harness.backbone.directory / "log"), harness.vkey)
    assert report.holds, report.text()


async def test_text_where_bytes_belong_is_found(harness: Any) -> None:
    """A hand in an SQLite file can turn a leaf into text: it is named like any other change."""
    if not harness.settings().database_url.startswith("sqlite"):
        pytest.skip("only SQLite takes text for bytes; run with LYKTA_TEST_DATABASE=sqlite")
    async with harness.service(), harness.stub() as stub:
        await stub.Append(harness.batch(0, 3))
        await published(stub, 3)
    await harness.change(text("UPDATE entry SET leaf = replace(leaf, 'allowed', 'denied') WHERE idx = 1"))
    assert "entry 1 was changed" in await halted(harness)


async def test_an_entry_edited_while_the_service_runs_is_never_served(harness: Any) -> None:
    """A read of an edited row is refused as lost data, and sets off the inspection that halts the log."""
    async with harness.service() as health, harness.stub() as stub:
        await stub.Append(harness.batch(0, 3))
        await published(stub, 3)
        await harness.change(edited(1, leaf=FORGED))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetEntry(pb.GetEntryRequest(index=1), metadata=DPO)
        assert refused.value.code() is grpc.StatusCode.DATA_LOSS

        async def stopped() -> bool:
            return "INTEGRITY" in (await health.failures()).get("log", "")

        await eventually(stopped, what="the halt")


async def test_a_database_from_an_old_backup_is_found(harness: Any) -> None:
    """A database that has fewer entries than are published is not written on."""
    async with harness.service(), harness.stub() as stub:
        await stub.Append(harness.batch(0, 20))
        await published(stub, 20)
    await harness.change(delete(tables.entry).where(tables.entry.c.idx >= 10), UNPUBLISHED)
    assert "20 entries are published and the database has 10" in await halted(harness)


async def test_a_rewritten_database_is_found_by_the_bucket(harness: Any) -> None:
    """A database rewritten consistently, hashes and all, does not give the published root."""
    async with harness.service(), harness.stub() as stub:
        await stub.Append(harness.batch(0, 20))
        await published(stub, 20)
    leaf = leaf_bytes(harness.record(4, result="denied"))
    await harness.change(edited(4, leaf=leaf, leaf_hash=merkle.leaf_hash(leaf)), UNPUBLISHED)
    assert "does not give the published root of 20 entries" in await halted(harness)


async def test_a_published_object_that_differs_stops_the_log(harness: Any) -> None:
    """An object that lies where the log is to be published with other bytes is lost data, never overwritten."""
    bucket = open_bucket(harness.backbone.s3_settings(), "lykta-audit")
    await bucket.put("tile/0/000.p/3", b"something else")
    async with harness.service() as health, harness.stub() as stub:
        await stub.Append(harness.batch(0, 3))

        async def stopped() -> str:
            return (await health.failures()).get("log", "")

        assert "tile/0/000.p/3" in await eventually(stopped, what="the halt")
        assert await bucket.get("tile/0/000.p/3") == b"something else"


async def test_another_log_s_bucket_or_database_is_refused(harness: Any) -> None:
    """A checkpoint of another key in the bucket halts the log; a database of another origin is not opened at all."""
    bucket = open_bucket(harness.backbone.s3_settings(), "lykta-audit")
    await bucket.put("checkpoint", b"another log\n0\n\n")
    assert "not of this log and key" in await halted(harness)
    with pytest.raises(BaseExceptionGroup, match="TaskGroup"):
        async with harness.service(ready=False, log_origin="other.example/log"):
            await asyncio.sleep(30)
