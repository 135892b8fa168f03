"""The suite of every service's migrations: up from nothing, down, up again, and equal to the tables of the code."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from lykta_common.database import migrate
from sqlalchemy import Connection, MetaData, insert, inspect, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from lykta_testing import postgres

ResultT = TypeVar("ResultT")
VERSIONS: Final = "alembic_version"
TOGETHER: Final = 4
_MIGRATE: Final = """
import pathlib, sys
from lykta_common.database import migrate
print("ready", flush=True)
sys.stdin.readline()
migrate(sys.argv[1], pathlib.Path(sys.argv[2]))
"""


@dataclass(frozen=True)
class Schema:
    """One service's database: its Alembic folder, its tables as the code has them, an empty database to try on."""

    migrations: Path
    metadata: MetaData
    url: str

    @classmethod
    def on_empty(cls, migrations: Path, metadata: MetaData, directory: Path) -> "Schema":
        """Take an empty SQLite file, or a PostgreSQL database where `LYKTA_TEST_DATABASE` says so."""
        url = postgres.new_database() if postgres.wanted() else f"sqlite+aiosqlite:///{directory}/rows.db"
        return cls(migrations, metadata, url)

    @property
    def revisions(self) -> list[str]:
        """Every revision, the first one first."""
        script = ScriptDirectory(str(self.migrations))
        return [found.revision for found in reversed(list(script.walk_revisions()))]

    def to(self, revision: str) -> None:
        """Migrate to a revision (blocking)."""
        migrate(self.url, self.migrations, revision)

    def ask(self, question: Callable[[Connection], ResultT]) -> ResultT:
        """Run something on a connection, in one transaction (blocking)."""
        return asyncio.run(self._ask(question))

    def tables(self) -> set[str]:
        """Return the names of the tables there are, without Alembic's own."""
        return set(self.ask(lambda connection: inspect(connection).get_table_names())) - {VERSIONS}

    def revision(self) -> str:
        """Return the revision the database is at."""
        return str(self.ask(lambda connection: connection.scalar(text(f"SELECT version_num FROM {VERSIONS}"))))

    def differences(self) -> list[Any]:
        """Say in which way the database is not what the tables of the code describe; empty when it is."""

        def compare(connection: Connection) -> list[Any]:
            options = {"compare_type": True, "compare_server_default": True}
            return list(compare_metadata(MigrationContext.configure(connection, opts=options), self.metadata))

        return self.ask(compare)

    async def _ask(self, question: Callable[[Connection], ResultT]) -> ResultT:
        engine = create_async_engine(self.url)
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(question)
        finally:
            await engine.dispose()


def check_up_down_up(schema: Schema) -> None:
    """From nothing to the newest revision, back to nothing, and up again: each time what the code describes."""
    for _ in range(2):
        schema.to("head")
        assert schema.tables() == set(schema.metadata.tables)
        assert schema.differences() == []
        schema.to("base")
        assert schema.tables() == set()
    schema.to("head")
    assert schema.differences() == []


def check_every_release_arrives(make: Callable[[], Schema]) -> None:
    """A database at any revision, from the first on, comes to the newest one and keeps the rows it has.

    There is no release before this one yet; with the second revision of a service this is its upgrade test.
    """
    newest = make().revisions[-1]
    for revision in make().revisions:
        schema = make()
        schema.to(revision)
        _write(schema)
        schema.to("head")
        assert schema.revision() == newest
        assert schema.differences() == []
        assert _written(schema) == ["a"]


def check_starts_together(schema: Schema) -> None:
    """Several processes that migrate the same empty server database at once all succeed: they take turns."""
    command = [sys.executable, "-c", _MIGRATE, schema.url, str(schema.migrations)]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1) for _ in range(TOGETHER)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * TOGETHER, said
    assert schema.differences() == []


def _write(schema: Schema) -> None:
    outbox = schema.metadata.tables["outbox"]
    schema.ask(lambda connection: connection.execute(insert(outbox).values(event_id="a", event=b"{}")))


def _written(schema: Schema) -> list[str]:
    outbox = schema.metadata.tables["outbox"]
    return schema.ask(lambda connection: list(connection.scalars(select(outbox.c.event_id)).all()))
