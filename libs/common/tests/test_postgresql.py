"""PostgreSQL for real: what it says when it is away, frozen or busy, and an outbox that many write and many publish."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats
import pytest
from lykta_common import database as database_module
from lykta_common.config import ServiceSettings
from lykta_common.database import Database, migrate, open_database
from lykta_common.errors import Code, PlatformError
from lykta_common.messaging import open_messaging
from lykta_common.outbox import Outbox, outbox_table
from lykta_common.tls import client_context
from lykta_contracts.events import CloudEvent, GapDeclared, new_event
from lykta_contracts.media import GapCause
from lykta_testing import postgres
from lykta_testing.platform import Backbone, eventually, open_platform
from lykta_testing.postgres import OwnServer
from sqlalchemy import MetaData, func, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

MIGRATIONS = Path(__file__).parent / "migrations"
NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
TABLE = outbox_table(MetaData())


class Plain(ServiceSettings):
    """A service with no settings of its own."""


def gap(name: str) -> CloudEvent:
    """Any fact."""
    data = GapDeclared(gap_id=name, controller="ks", camera="torg-1", from_at=NOW, to_at=NOW, cause=GapCause.CAMERA)
    return new_event(data, name, "/lykta/ingest/0", NOW)


@pytest.fixture
def url() -> str:
    """An empty database."""
    return postgres.new_database()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A migrated database."""
    async with open_database(url, MIGRATIONS) as opened:
        yield opened


async def rows(database: Database) -> int:
    """Count what waits in the outbox."""
    async with database.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(TABLE))).scalar_one())


async def write(connection: AsyncConnection, name: str) -> None:
    """Write a row."""
    await connection.execute(insert(TABLE).values(event_id=name, event=b""))


async def backend(connection: AsyncConnection) -> int:
    """Return the id of the process that serves a connection."""
    return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())


def unavailable(caught: "pytest.ExceptionInfo[PlatformError]") -> bool:
    """Say whether a failure is told as one that passes."""
    return caught.value.code is Code.UNAVAILABLE and caught.value.retryable


async def test_migrations_go_up_again_and_down(url: str) -> None:
    """Running a migration twice changes nothing; going down removes what it made."""
    for revision in ("head", "head", "base", "head"):
        await asyncio.to_thread(migrate, url, MIGRATIONS, revision)
    async with open_database(url, MIGRATIONS) as database, database.reading() as connection:
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert set(tables) == {"outbox", "alembic_version"}


@pytest.mark.fault
async def test_a_server_that_lost_its_power_is_unavailable_and_comes_back(postgresql: OwnServer) -> None:
    """Killed amid a transaction, every call says UNAVAILABLE; started again, the same object works, with what stood."""
    url = await asyncio.to_thread(postgresql.new_database)
    async with open_database(url, MIGRATIONS) as database:
        async with database.transaction() as connection:
            await write(connection, "stands")

        async def cut_off() -> None:
            async with database.transaction() as connection:
                await write(connection, "lost")
                await asyncio.to_thread(postgresql.kill)

        with pytest.raises(PlatformError) as caught:
            await cut_off()
        assert unavailable(caught)
        for attempt in (database.ping(), rows(database), asyncio.to_thread(migrate, url, MIGRATIONS)):
            with pytest.raises(PlatformError) as caught:
                await attempt
            assert unavailable(caught)
        await asyncio.to_thread(postgresql.start)
        await database.ping()
        assert await rows(database) == 1


@pytest.mark.fault
async def test_a_start_waits_for_a_server_that_comes_later(
    postgresql: OwnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is started before its database waits for it; after a bounded time it says who does not answer."""
    url = await asyncio.to_thread(postgresql.new_database)
    await asyncio.to_thread(postgresql.kill)
    with monkeypatch.context() as patched:
        patched.setattr(database_module, "START_SECONDS", 0.0)
        with pytest.raises(PlatformError) as caught:
            async with open_database(url, MIGRATIONS):
                pass
        assert unavailable(caught)
    async with AsyncExitStack() as stack:
        opening = asyncio.create_task(stack.enter_async_context(open_database(url, MIGRATIONS)))
        await asyncio.to_thread(postgresql.start)
        await (await opening).ping()


@pytest.mark.fault
async def test_the_outbox_waits_for_the_database(postgresql: OwnServer, nats_backbone: Backbone) -> None:
    """A relay whose database goes away neither ends nor loses anything: it publishes when both are there again."""
    url = await asyncio.to_thread(postgresql.new_database)
    async with open_database(url, MIGRATIONS) as database, publishing(nats_backbone, database) as outbox:
        await asyncio.to_thread(postgresql.kill)
        with pytest.raises(PlatformError):
            async with database.transaction() as connection:
                await outbox.add(connection, gap("refused"))
        await asyncio.to_thread(postgresql.start)
        async with database.transaction() as connection:
            await outbox.add(connection, gap("g1"))
        async with reading_stream(nats_backbone) as published:
            assert await eventually(published) == ["g1"]


async def test_a_connection_that_is_cut_rolls_back(database: Database) -> None:
    """A connection ended by an administrator, also right before the commit, is UNAVAILABLE and leaves nothing."""

    async def cut_off(more: bool) -> None:
        async with database.transaction() as connection:
            await write(connection, "lost")
            process = await backend(connection)
            async with database.reading() as other:
                await other.execute(text("SELECT pg_terminate_backend(:it, 5000)"), {"it": process})
            if more:
                await write(connection, "more")

    for more in (True, False):
        with pytest.raises(PlatformError) as caught:
            await cut_off(more)
        assert unavailable(caught)
    assert await rows(database) == 0


async def test_a_server_that_is_silent_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that gets no answer in time is UNAVAILABLE, and its connection is not used again."""
    monkeypatch.setattr(database_module, "STATEMENT_SECONDS", 0.5)
    frozen: list[int] = []

    async def ask(database: Database) -> None:
        async with database.transaction() as connection:
            frozen.append(await backend(connection))
            os.kill(frozen[0], signal.SIGSTOP)
            await write(connection, "lost")

    async with open_database(url, MIGRATIONS) as database:
        try:
            with pytest.raises(PlatformError) as caught:
                await ask(database)
            assert unavailable(caught)
            async with database.transaction() as connection:
                assert await backend(connection) not in frozen
                await write(connection, "kept")
        finally:
            os.kill(frozen[0], signal.SIGCONT)
        assert await rows(database) == 1


async def test_a_deadlock_is_one_s_to_try_again(database: Database) -> None:
    """Of two transactions that wait for each other one commits, and the other is told to try again."""
    async with database.transaction() as connection:
        for name in ("a", "b"):
            await write(connection, name)
    meeting = asyncio.Barrier(2)

    async def change(first: str, second: str) -> None:
        async with database.transaction() as connection:
            for name in (first, second):
                await connection.execute(text("UPDATE outbox SET event = '\\x01' WHERE event_id = :it"), {"it": name})
                if name == first:
                    await meeting.wait()

    done = await asyncio.gather(change("a", "b"), change("b", "a"), return_exceptions=True)
    (failure,) = [error for error in done if error is not None]
    assert isinstance(failure, PlatformError)
    assert failure.retryable


async def test_what_the_caller_did_wrong_stays_its_own(database: Database) -> None:
    """A key used twice, and an error of the network that the block itself had, are not blamed on the database."""

    async def twice() -> None:
        async with database.transaction() as connection:
            await write(connection, "a")
            await write(connection, "a")

    with pytest.raises(IntegrityError):
        await twice()
    with pytest.raises(ConnectionRefusedError):
        async with database.transaction():
            raise ConnectionRefusedError
    assert await rows(database) == 0


@pytest.mark.parametrize(
    ("who", "name", "why"),
    [("nobody", "postgres", r"role .nobody. does not exist"), ("postgres", "none", r"database .none. does not exist")],
)
async def test_a_refused_connection_names_what_to_look_at(url: str, who: str, name: str, why: str) -> None:
    """A role or a database that is not there is told with its name and the setting, not as an absent server."""
    wrong = f"postgresql+asyncpg://{who}@/{name}?{url.partition('?')[2]}"
    with pytest.raises(PlatformError, match=rf"{why}.*database_url"):
        async with open_database(wrong, MIGRATIONS):
            pass


@asynccontextmanager
async def publishing(backbone: Backbone, database: Database, replica: str = "0") -> AsyncIterator[Outbox]:
    """Run the relay of one process for the block."""
    settings = backbone.settings(Plain, "ingest", replica)
    async with (
        open_platform("ingest") as platform,
        open_messaging(settings, platform.telemetry) as messaging,
        asyncio.TaskGroup() as tasks,
    ):
        outbox = Outbox(database, messaging, TABLE)
        relay = tasks.create_task(outbox.run())
        yield outbox
        relay.cancel()


@asynccontextmanager
async def reading_stream(backbone: Backbone) -> AsyncIterator[Any]:
    """Give a function that returns the ids of all that was published, in the stream's order."""
    client = await nats.connect(
        backbone.common("test-tool")["nats_url"], user="test",
        password=backbone.password_file("test").read_text().strip(), tls=client_context(backbone.tls("test-tool")),
    )  # fmt: skip
    jetstream = client.jetstream()

    async def published() -> list[str]:
        state = (await jetstream.stream_info("FOOTAGE")).state
        numbers = range(1, state.last_seq + 1) if state.messages else ()
        found = [await jetstream.get_msg("FOOTAGE", number) for number in numbers]
        return [CloudEvent.from_json(message.data or b"").id for message in found]

    try:
        yield published
    finally:
        await client.close()


async def test_two_relays_publish_what_two_writers_state_once_and_in_order(url: str, nats_backbone: Backbone) -> None:
    """Two processes write and publish over one outbox: each fact is in the stream once, each writer's in its order."""
    async with AsyncExitStack() as stack:
        outboxes: list[tuple[Database, Outbox]] = []
        for replica in ("0", "1"):
            database = await stack.enter_async_context(open_database(url, MIGRATIONS))
            outbox = await stack.enter_async_context(publishing(nats_backbone, database, replica))
            outboxes.append((database, outbox))
        published = await stack.enter_async_context(reading_stream(nats_backbone))

        async def state(number: int) -> list[str]:
            database, outbox = outboxes[number]
            names = [f"{number}-{count:03}" for count in range(120)]
            for name in names:
                async with database.transaction() as connection:
                    await outbox.add(connection, gap(name))
            return names

        stated = await asyncio.gather(state(0), state(1))

        async def empty() -> bool:
            return await rows(outboxes[0][0]) == 0

        await eventually(empty, what="an empty outbox")
        found = await published()
    for names in stated:
        assert [name for name in found if name in set(names)] == names
    assert len(found) == 240


async def test_more_facts_than_32_bits_can_count_go_on_in_order(database: Database, nats_backbone: Backbone) -> None:
    """After two thousand million facts the next ones are numbered, published and deleted like the first."""
    async with database.transaction() as connection:
        await connection.execute(text("ALTER SEQUENCE outbox_sequence_seq RESTART WITH 2147483647"))
    names = ["g1", "g2", "g3"]
    async with publishing(nats_backbone, database) as outbox, reading_stream(nats_backbone) as published:
        for name in names:
            async with database.transaction() as connection:
                await outbox.add(connection, gap(name))

        async def empty() -> bool:
            return await rows(database) == 0

        await eventually(empty, what="an empty outbox")
        assert await published() == names


async def test_a_fact_that_is_committed_late_is_not_passed_over(database: Database, nats_backbone: Backbone) -> None:
    """A transaction that began first and ends last is published too, though later rows are long gone."""
    async with publishing(nats_backbone, database) as outbox, reading_stream(nats_backbone) as published:
        async with database.transaction() as slow:
            await outbox.add(slow, gap("early"))
            async with database.transaction() as quick:
                await outbox.add(quick, gap("late"))
            assert await eventually(published) == ["late"]
        outbox.wake()

        async def both() -> list[str]:
            found = list(await published())
            return found if len(found) == 2 else []

        assert await eventually(both) == ["late", "early"]


@pytest.mark.parametrize("commits", [True, False])
async def test_the_same_fact_of_two_writers_is_one(database: Database, nats_backbone: Backbone, commits: bool) -> None:
    """Stated by two at once, a fact is published once, whether the first of them commits or gives up."""
    async with publishing(nats_backbone, database) as outbox, reading_stream(nats_backbone) as published:

        async def second() -> None:
            async with database.transaction() as connection:
                await outbox.add(connection, gap("same"))

        with contextlib.suppress(RuntimeError):
            async with database.transaction() as connection:
                await outbox.add(connection, gap("same"))
                waiting = asyncio.create_task(second())

                async def blocked() -> bool:
                    async with database.reading() as other:
                        count = await other.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
                        return bool(count)

                await eventually(blocked, what="the second writer waiting for the first")
                if not commits:
                    raise RuntimeError
        await waiting
        outbox.wake()
        assert await eventually(published) == ["same"]
