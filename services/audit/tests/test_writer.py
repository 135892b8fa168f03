"""Group commit under a lease, on a real database: bounds, fencing, commits that fail."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lykta_audit import writer as writer_module
from lykta_audit.domain import Entry, make_entry
from lykta_audit.errors import LeaseLostError
from lykta_audit.store import MIGRATIONS, Lease, LogRows, LogTransaction
from lykta_audit.store.tables import outbox as outbox_rows
from lykta_audit.tree import TreeEdge
from lykta_audit.writer import LogWriter, read_edge
from lykta_common.database import Database, open_database
from lykta_common.errors import Code, PlatformError, unavailable
from lykta_common.outbox import Outbox
from lykta_contracts.audit import Actor, AuditRecord
from lykta_testing import postgres


def entry(number: int, reason: str = "") -> Entry:
    """Make the entry with this number."""
    moment = datetime(2026, 11, 23, 8, tzinfo=UTC)
    actor = Actor(kind="service", id="storage")
    values: dict[str, Any] = {"entry_id": f"e{number}", "occurred_at": moment, "actor": actor, "action": "a"}
    return make_entry(AuditRecord(**values, result="done", reason=reason))


@dataclass
class Bench:
    """A database with a lease taken on it."""

    database: Database
    rows: LogRows
    lease: Lease
    outbox: Outbox

    def writer(self, edge: TreeEdge | None = None) -> LogWriter:
        """Make a writer under the lease."""
        return LogWriter(self.rows, self.lease, edge or TreeEdge(), lambda: 1)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """An empty log whose lease is ours."""
    url = postgres.new_database() if postgres.wanted() else f"sqlite+aiosqlite:///{tmp_path}/audit.db"
    async with open_database(url, MIGRATIONS) as database:
        messaging: Any = None
        outbox = Outbox(database, messaging, outbox_rows)
        rows = LogRows(database, outbox)
        lease = await rows.take_lease(await rows.state("log"), "first", 1)
        assert lease is not None
        yield Bench(database, rows, lease, outbox)


async def test_waiting_appends_are_committed_together(bench: Bench) -> None:
    """Everything that waits goes into one transaction, and the tree in memory is that of the rows."""
    writer = bench.writer()
    commits: list[int] = []
    writing = bench.rows.writing

    def counted(*arguments: Any) -> Any:
        commits.append(1)
        return writing(*arguments)

    bench.rows.writing = counted  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as tasks:
        appends = [tasks.create_task(writer.append([entry(n), entry(n + 1000)])) for n in range(300)]
        await asyncio.sleep(0)
        running = tasks.create_task(writer.run())
        places = [place for append in appends for place in await append]
        running.cancel()
    assert sorted(place.index for place in places) == list(range(600))
    assert len(commits) == 1
    reread = await read_edge(bench.rows)
    assert (reread.size, reread.root()) == (600, writer.edge.root())


async def test_a_writer_that_lost_the_lease_writes_nothing(bench: Bench) -> None:
    """Once another process took the lease, the old writer's appends fail and its rows never appear."""
    writer = bench.writer()
    assert await bench.rows.take_lease(await bench.rows.state("log"), "second", 1) is not None
    append = asyncio.create_task(writer.append([entry(1)]))
    await asyncio.sleep(0)
    with pytest.raises(LeaseLostError):
        await writer.run()
    with pytest.raises(PlatformError) as refused:
        await append
    assert refused.value.code is Code.UNAVAILABLE
    assert await bench.rows.size() == 0
    with pytest.raises(PlatformError) as later:
        await writer.append([entry(2)])
    assert later.value.code is Code.UNAVAILABLE


async def test_only_one_of_two_takes_the_lease(bench: Bench) -> None:
    """Two processes that saw the same state cannot both become the writer."""
    state = await bench.rows.state("log")
    leases = await asyncio.gather(*(bench.rows.take_lease(state, name, 1) for name in ("a", "b")))
    assert sum(lease is not None for lease in leases) == 1


async def test_writers_that_take_the_lease_from_each_other_leave_one_log(bench: Bench) -> None:
    """Two processes in turns, each amid the other's appends: what was acknowledged stands, in one dense log."""
    places: dict[str, int] = {}
    begun = asyncio.Event()
    address = bench.database.engine.url.render_as_string(hide_password=False)

    async def append(writer: LogWriter, first: int) -> None:
        # A refused append is not in the log under this writer; an acknowledged one must stay where it was put.
        with contextlib.suppress(PlatformError):
            for number in range(first, first + 20):
                (place,) = await writer.append([entry(number)])
                places[f"e{number}"] = place.index
                begun.set()

    async def turn(rows: LogRows, number: int) -> None:
        lease = await rows.take_lease(await rows.state("log"), f"writer-{number}", 1)
        assert lease is not None
        writer = LogWriter(rows, lease, await read_edge(rows), lambda: 1)
        begun.clear()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(_until_lost(writer))
            appends = [tasks.create_task(append(writer, number * 100 + n)) for n in (0, 20, 40)]
            await begun.wait()
            if number < 7:
                await turn(LogRows(second if number % 2 == 0 else bench.database, bench.outbox), number + 1)
            await asyncio.wait(appends)
            running.cancel()

    async with open_database(address, MIGRATIONS) as second:
        await turn(bench.rows, 0)
    assert 60 + 7 <= len(places) < 8 * 60, "every writer wrote, and all but the last were cut off"
    assert sorted(set(places.values())) == sorted(places.values())
    stored = await bench.rows.entries(0, await bench.rows.size())
    assert [item.index for item in stored] == list(range(len(stored)))
    assert {item.entry_id: item.index for item in stored}.items() >= places.items()
    leaves = b"".join(item.leaf_hash for item in stored)
    tree = TreeEdge()
    for begin in range(0, len(leaves), 32):
        tree.append(leaves[begin : begin + 32])
    assert (await read_edge(bench.rows)).root() == tree.root()


async def _until_lost(writer: LogWriter) -> None:
    with contextlib.suppress(LeaseLostError):
        await writer.run()


async def test_too_many_waiting_records_are_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound appends are refused at once, and what waits is still written."""
    monkeypatch.setattr(writer_module, "WAITING_RECORDS", 3)
    writer = bench.writer()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(writer.append([entry(1), entry(2), entry(3)]))
        await asyncio.sleep(0)
        with pytest.raises(PlatformError) as refused:
            await writer.append([entry(4)])
        assert refused.value.code is Code.RESOURCE_EXHAUSTED
        running = tasks.create_task(writer.run())
        assert len(await first) == 3
        assert len(await writer.append([entry(4)])) == 1
        running.cancel()


@pytest.mark.parametrize("committed", [False, True])
async def test_a_commit_without_an_answer_keeps_tree_and_rows_together(bench: Bench, committed: bool) -> None:
    """Whether it was committed or not, its append is refused; repeated, it gets its one place, and the tree fits."""
    writer = bench.writer()
    writing = bench.rows.writing

    @asynccontextmanager
    async def broken(lease: Lease, until_ms: int) -> AsyncIterator[LogTransaction]:
        bench.rows.writing = writing  # type: ignore[method-assign]
        async with writing(lease, until_ms) as transaction:
            yield transaction
            if not committed:
                raise unavailable("the database")
        raise unavailable("the database")

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writer.run())
        await writer.append([entry(n) for n in range(255)])
        bench.rows.writing = broken  # type: ignore[method-assign]
        with pytest.raises(PlatformError) as failed:
            await writer.append([entry(255)])
        assert failed.value.code is Code.UNAVAILABLE
        assert [place.index for place in await writer.append([entry(255), entry(256)])] == [255, 256]
        running.cancel()
    assert (await read_edge(bench.rows)).root() == writer.edge.root()


async def test_an_append_whose_caller_is_gone_is_left_out(bench: Bench) -> None:
    """A caller that gave up before its batch was taken leaves no entry behind."""
    writer = bench.writer()
    gone = asyncio.create_task(writer.append([entry(1)]))
    await asyncio.sleep(0)
    gone.cancel()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writer.run())
        (place,) = await writer.append([entry(2)])
        running.cancel()
    assert (place.index, await bench.rows.size()) == (0, 1)
