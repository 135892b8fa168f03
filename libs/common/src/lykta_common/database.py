"""One database per service: SQLAlchemy Core on SQLite (WAL, FULL) or PostgreSQL, migrated by Alembic at start."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from lykta_common.backoff import Backoff
from lykta_common.errors import Code, PlatformError, unavailable
from lykta_common.logging import get_logger

log = get_logger(__name__)

MIGRATION_LOCK: Final = 0x6C796B7461
"""Key of PostgreSQL's advisory lock under which a database is migrated: any number that nobody else takes."""
BUSY_MS: Final = 5000
"""How long SQLite waits for another writer, milliseconds."""
CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 60.0
"""After this a server is taken for gone: a machine that lost its power sends no word of it."""
POOL_SECONDS: Final = 10.0
START_SECONDS: Final = 90.0
"""How long a start waits for a server: where everything is started at once, the database is not the first to serve."""
_PASSING: Final = ("08", "40", "53", "57P")
"""Classes of SQLSTATE that the same transaction may not meet again: connection, conflict, resources, shutdown."""
_REFUSING: Final = ("28", "3D")
"""Classes of SQLSTATE with which PostgreSQL turns a connection away: who asks, and for which database."""


class Database:
    """An engine with transactions; a database that does not answer is PlatformError UNAVAILABLE."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        # SQLite has one writer; taking turns here is cheaper than waiting for its lock.
        self._writer = asyncio.Lock() if engine.dialect.name == "sqlite" else None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Run a block in one transaction: committed at its end, rolled back when it raises."""
        async with self._writer or nullcontext(), _connected(self.engine) as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Run a block that only reads; writers do not hold it up."""
        async with _connected(self.engine) as connection:
            yield connection

    async def ping(self) -> None:
        """Health check: raises when the database does not answer."""
        async with self.reading() as connection:
            await connection.execute(text("SELECT 1"))


@asynccontextmanager
async def open_database(url: str, migrations: Path) -> AsyncIterator[Database]:
    """Open the database for the block, migrated to the newest revision of the Alembic folder `migrations`.

    The folder's `env.py` is two lines: `from lykta_common.database import run_migrations` and `run_migrations()`.
    Waits START_SECONDS for a server that is away; one that refuses is told at once.
    """
    await _migrated(url, migrations)
    if url.startswith("sqlite"):
        engine = create_async_engine(url)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    else:
        limits = {"timeout": CONNECT_SECONDS, "command_timeout": STATEMENT_SECONDS}
        engine = create_async_engine(url, pool_pre_ping=True, pool_timeout=POOL_SECONDS, connect_args=limits)
        event.listen(engine.sync_engine, "handle_error", _give_up_on_silence)
    try:
        yield Database(engine)
    finally:
        await engine.dispose()


async def _migrated(url: str, migrations: Path) -> None:
    loop, backoff = asyncio.get_running_loop(), Backoff(first=0.5, most=2.0)
    end = loop.time() + START_SECONDS
    while True:
        try:
            await asyncio.to_thread(migrate, url, migrations)
        except PlatformError as error:
            passing = error.message == unavailable("the database").message and not url.startswith("sqlite")
            if not passing or loop.time() > end:
                raise
            log.info("database_waited_for", host=make_url(url).host)
        else:
            return
        await asyncio.sleep(backoff.next())


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a connection for the block; UNAVAILABLE when there is none to be had, or when it is lost."""
    connected = False
    with _translated():
        try:
            async with engine.connect() as connection:
                connected = True
                yield connection
        except (OSError, PoolTimeoutError) as error:
            # The driver says that a server is away in the words of the network; the block's own such errors are its.
            if connected:
                raise
            raise unavailable("the database") from error


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what a driver raises for a database that is away or busy into UNAVAILABLE; all else goes through."""
    try:
        yield
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if state.startswith(_REFUSING):
            message = f"the database refuses this service ({error.orig}); look at database_url"
            raise PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", message) from error
        # asyncpg calls it an error of its own (without a state) when a statement meets the server's last words.
        orphaned = isinstance(error, InternalError) and not state
        if orphaned or isinstance(error, (OperationalError, InterfaceError)) or state.startswith(_PASSING):
            raise unavailable("the database") from error
        raise


def _give_up_on_silence(context: ExceptionContext) -> Exception | None:
    """Tell a statement that got no answer in time as a database that is away, and use its connection no more."""
    if not isinstance(context.original_exception, TimeoutError):
        return None
    context.is_disconnect = True
    return unavailable("the database")


def migrate(url: str, migrations: Path, revision: str = "head") -> None:
    """Bring the schema to a revision (blocking); running it again changes nothing.

    Raises PlatformError FAILED_PRECONDITION, before anything is changed, when the database is of a newer release.
    """
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    if revision == "base" or revision.startswith("-"):
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


def run_migrations() -> None:
    """Run the migrations Alembic was asked for; called by every service's `migrations/env.py`."""
    from alembic import context

    url = make_url(context.config.attributes["url"])
    with _translated():
        if url.drivername.startswith("sqlite"):
            _run_on_sqlite(context, url)
        else:
            asyncio.run(_run_on_server(context, url))


def _run_on_sqlite(context: Any, url: URL) -> None:
    """Migrate with the standard library's driver: a worker thread of the other one may outlive this loop."""
    Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url.set(drivername="sqlite"))
    event.listen(engine, "connect", _prepare_sqlite)
    try:
        with engine.begin() as connection:
            _run_in(context, connection)
    finally:
        engine.dispose()


async def _run_on_server(context: Any, url: URL) -> None:
    engine = create_async_engine(url, connect_args={"timeout": CONNECT_SECONDS})
    try:
        async with _connected(engine) as connection, connection.begin():
            await connection.run_sync(lambda sync: _run_in(context, sync))
    finally:
        await engine.dispose()


def _run_in(context: Any, connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=None, render_as_batch=True)
    if connection.dialect.name == "postgresql":
        # Replicas that start together take turns; the lock ends with the transaction.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    _require_known(context, connection)
    with context.begin_transaction():
        context.run_migrations()


def _require_known(context: Any, connection: Connection) -> None:
    """Refuse a database at a revision that this code does not have; Alembic's own words do not say what to do."""
    for revision in context.get_context().get_current_heads():
        try:
            context.script.get_revision(revision)
        except (CommandError, ResolutionError) as error:
            name = connection.engine.url.database or connection.engine.url.host
            message = (
                f"the database {name} is at revision {revision}, which this release does not know: a newer release "
                "wrote it; run that release or a newer one, or restore a backup from before its upgrade"
            )
            raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message) from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={BUSY_MS}",
        "foreign_keys=ON",
        "secure_delete=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
