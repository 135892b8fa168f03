"""The schema: what the migrations make is what the code expects."""

import asyncio
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from lykta_common.database import migrate, open_database
from lykta_storage.app import MIGRATIONS
from lykta_storage.store.tables import metadata
from lykta_testing import postgres


async def test_the_migrations_make_the_tables_of_the_code(tmp_path: Path) -> None:
    """The newest revision has exactly the tables, columns and indexes the code uses."""
    url = postgres.new_database() if postgres.wanted() else f"sqlite+aiosqlite:///{tmp_path}/rows.db"
    async with open_database(url, MIGRATIONS) as database, database.engine.connect() as connection:
        found = await connection.run_sync(lambda c: compare_metadata(MigrationContext.configure(c), metadata))
    assert found == []


async def test_the_migrations_go_back_and_forth(tmp_path: Path) -> None:
    """Every revision can be taken back and made again."""
    url = postgres.new_database() if postgres.wanted() else f"sqlite+aiosqlite:///{tmp_path}/rows.db"
    for revision in ("head", "base", "head"):
        await asyncio.to_thread(migrate, url, MIGRATIONS, revision)
