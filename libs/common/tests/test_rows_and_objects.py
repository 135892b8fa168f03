"""Rows, the outbox and the object store: written once, published for certain, and honest when a store is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lykta_common.config import ServiceSettings
from lykta_common.database import Database, migrate, open_database
from lykta_common.errors import Code, PlatformError
from lykta_common.messaging import open_messaging
from lykta_common.objectstore import open_bucket
from lykta_common.outbox import Outbox, outbox_table
from lykta_common.runtime import Platform
from lykta_contracts.events import CloudEvent, GapDeclared, new_event
from lykta_contracts.media import GapCause
from lykta_contracts.model import Message
from lykta_contracts.streams import STORAGE_FOOTAGE
from lykta_testing.platform import Backbone, eventually, open_platform
from sqlalchemy import MetaData, func, insert, inspect, select, text

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
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated SQLite database."""
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/deep/rows.db", MIGRATIONS) as opened:
        yield opened


async def rows(database: Database) -> int:
    """Count what waits in the outbox."""
    async with database.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(TABLE))).scalar_one())


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    """What raises is rolled back whole."""
    with contextlib.suppress(RuntimeError):
        async with database.transaction() as connection:
            await connection.execute(insert(TABLE).values(event_id="a", event=b""))
            raise RuntimeError
    assert await rows(database) == 0


async def test_sqlite_is_durable_and_forgets_what_is_deleted(database: Database) -> None:
    """Every commit is synced, and deleted content is overwritten (a destroyed key must not linger in the file)."""
    async with database.reading() as connection:
        values = [(await connection.execute(text(f"PRAGMA {p}"))).scalar_one() for p in
                  ("journal_mode", "synchronous", "secure_delete", "foreign_keys")]  # fmt: skip
    assert values == ["wal", 2, 1, 1]


async def test_many_writers_take_turns(database: Database) -> None:
    """Concurrent transactions all succeed."""

    async def write(number: int) -> None:
        async with database.transaction() as connection:
            await connection.execute(insert(TABLE).values(event_id=str(number), event=b""))

    await asyncio.gather(*(write(number) for number in range(50)))
    assert await rows(database) == 50


async def test_migrations_go_up_again_and_down(tmp_path: Path) -> None:
    """Running a migration twice changes nothing; going down removes what it made."""
    url = f"sqlite+aiosqlite:///{tmp_path}/rows.db"
    for revision in ("head", "head", "base", "head"):
        await asyncio.to_thread(migrate, url, MIGRATIONS, revision)
    async with open_database(url, MIGRATIONS) as database, database.reading() as connection:
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert set(tables) == {"outbox", "alembic_version"}


async def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    """A revision that the code does not know is named with what to do, and nothing is changed."""
    url = f"sqlite+aiosqlite:///{tmp_path}/rows.db"
    async with open_database(url, MIGRATIONS) as database, database.transaction() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        await connection.execute(insert(TABLE).values(event_id="kept", event=b""))
    before = (tmp_path / "rows.db").read_bytes()
    for revision in ("head", "base"):
        with pytest.raises(PlatformError, match=r"revision 9999.*newer release") as caught:
            await asyncio.to_thread(migrate, url, MIGRATIONS, revision)
        assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "WRONG_STATE")
    assert (tmp_path / "rows.db").read_bytes() == before


async def test_a_database_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """A file that cannot be opened is reported as UNAVAILABLE, not as a library's error."""
    (tmp_path / "rows.db").mkdir()
    with pytest.raises(PlatformError) as caught:
        async with open_database(f"sqlite+aiosqlite:///{tmp_path}/rows.db", MIGRATIONS):
            pass
    assert caught.value.code is Code.UNAVAILABLE


async def test_a_fact_of_a_rolled_back_change_is_never_published(database: Database, nats_backbone: Backbone) -> None:
    """The outbox publishes what was committed, in order, and nothing else; twice added is once published."""
    seen: list[str] = []

    async def note(event: CloudEvent, data: Message) -> None:
        seen.append(event.id)

    async with (
        open_platform("storage") as platform,
        open_messaging(
            nats_backbone.settings(Plain, "storage"),
            platform.telemetry,
            lambda messaging: messaging.consume(STORAGE_FOOTAGE, note),
        ),
        open_messaging(nats_backbone.settings(Plain, "ingest"), platform.telemetry) as ingest,
        asyncio.TaskGroup() as tasks,
    ):
        outbox = Outbox(database, ingest, TABLE)
        running = tasks.create_task(outbox.run())
        async with database.transaction() as connection:
            await outbox.add(connection, gap("g1"))
            await outbox.add(connection, gap("g1"))
        with contextlib.suppress(RuntimeError):
            async with database.transaction() as connection:
                await outbox.add(connection, gap("never"))
                raise RuntimeError
        async with database.transaction() as connection:
            await outbox.add(connection, gap("g2"))
        await eventually(lambda: len(seen) == 2)
        running.cancel()
    assert sorted(seen) == ["g1", "g2"]
    assert await rows(database) == 0


def shown(platform: Platform) -> float | None:
    """Return how many facts wait, as a scraper sees it."""
    return platform.metrics.registry.get_sample_value("lykta_ingest_outbox_pending")


async def test_a_fact_waits_for_nats(database: Database, nats_backbone: Backbone) -> None:
    """While NATS is away facts stay in the outbox; they are counted, and published when it is back."""
    async with (
        open_platform("ingest") as platform,
        open_messaging(nats_backbone.settings(Plain, "ingest"), platform.telemetry) as ingest,
        asyncio.TaskGroup() as tasks,
    ):
        pending = platform.metrics.outbox_pending()
        outbox = Outbox(database, ingest, TABLE, pending)
        await nats_backbone.nats.kill()
        running = tasks.create_task(outbox.run())
        async with database.transaction() as connection:
            await outbox.add(connection, gap("g1"))
        await eventually(lambda: shown(platform) == 1)
        assert await rows(database) == 1
        await nats_backbone.nats.start()

        async def published() -> bool:
            return await rows(database) == 0

        await eventually(published, 30)
        assert shown(platform) == 0
        running.cancel()


async def test_an_object_is_written_once(backbone: Backbone) -> None:
    """A second write of a key is refused by the store and leaves the first; ranges, lists and sizes are true."""
    bucket = open_bucket(backbone.s3_settings(), "lykta-footage")
    assert await bucket.put_if_absent("a/1", b"first")
    assert not await bucket.put_if_absent("a/1", b"second")
    assert await bucket.get("a/1") == b"first"
    assert await bucket.get_range("a/1", 1, 3) == b"irs"
    assert [item.key async for item in bucket.list("a/")] == ["a/1"]
    assert (await bucket.head("a/1")).size_bytes == 5
    await bucket.put("a/1", b"new")
    assert await bucket.get("a/1") == b"new"
    await bucket.delete("a/1")
    await bucket.delete("a/1")
    with pytest.raises(PlatformError) as caught:
        await bucket.get("a/1")
    assert caught.value.code is Code.NOT_FOUND


async def test_of_many_who_write_a_key_at_once_one_does(backbone: Backbone) -> None:
    """The store itself decides: of writers at the same moment exactly one is told so, and its bytes are there."""
    buckets = [open_bucket(backbone.s3_settings(), "lykta-footage", sign_payload=signed) for signed in (True, False)]
    for key in ("a/1", "a/2", "a/3"):
        payloads = [bytes([writer]) * 2000 for writer in range(8)]
        wrote = await asyncio.gather(
            *(buckets[n % 2].put_if_absent(key, payload) for n, payload in enumerate(payloads))
        )
        assert sum(wrote) == 1
        assert await buckets[0].get(key) == payloads[wrote.index(True)]


@pytest.mark.timeout(120)
async def test_a_store_that_is_away_is_unavailable_and_comes_back(backbone: Backbone) -> None:
    """Every call says UNAVAILABLE while the store is down; the same bucket works when it is up again."""
    bucket = open_bucket(backbone.s3_settings(), "lykta-footage")
    await bucket.put("a", b"x")
    await bucket.ping()
    assert backbone.s3 is not None
    await backbone.s3.kill()
    for attempt in (bucket.get("a"), bucket.put("b", b""), bucket.ping()):
        with pytest.raises(PlatformError) as caught:
            await attempt
        assert caught.value.code is Code.UNAVAILABLE
    await backbone.s3.start()

    async def back() -> bytes:
        try:
            return await bucket.get("a")
        except PlatformError:
            return b""

    assert await eventually(back, 60) == b"x"
