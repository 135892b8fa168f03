"""The store: migrations agree with the tables, the view follows other processes, and a stale view answers nothing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from lykta_access_control.app import MIGRATIONS
from lykta_access_control.store.projection import Projection
from lykta_access_control.store.tables import METADATA
from lykta_common.clock import SystemClock
from lykta_common.database import migrate, open_database
from lykta_common.errors import PlatformError
from lykta_contracts.roles import Role
from lykta_testing.platform import eventually
from sqlalchemy import create_engine


def test_the_migrations_make_the_tables(tmp_path: Path) -> None:
    """Migrating an empty database up gives exactly the tables of the code; down again leaves none of them."""
    file = tmp_path / "rows.db"
    migrate(f"sqlite+aiosqlite:///{file}", MIGRATIONS)
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    migrate(f"sqlite+aiosqlite:///{file}", MIGRATIONS, "base")
    with engine.connect() as connection:
        assert len(compare_metadata(MigrationContext.configure(connection), METADATA)) >= len(METADATA.tables)
    engine.dispose()


@pytest.fixture
async def other(town: Any) -> AsyncIterator[Projection]:
    """The view of another process on the same database."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(town.settings().database_url, MIGRATIONS))
        yield Projection(database, SystemClock())


async def test_the_view_of_another_process_follows(town: Any, other: Projection) -> None:
    """Members, cameras, cases and grants changed elsewhere are seen, also those that are taken away."""
    case = await town.open_case()
    grant = await town.ask(case.case_id)
    await other.refresh()
    view = await other.view()
    assert view.roles("ks", "ivar") == {Role.INVESTIGATOR}
    assert ("ks", "torget-2") in view.cameras
    assert view.grants[grant.grant_id].state == "requested"
    await town.set_member("ada", "ks", "ivar", [])
    await town.issue(grant.grant_id)
    await town.close_case(case.case_id, by="bea")
    await town.add_camera("ada", "ks", "torget-3")
    await other.refresh()
    assert view.roles("ks", "ivar") == frozenset()
    assert view.grants[grant.grant_id].state == "revoked"
    assert view.cases[case.case_id].closed_at is not None
    assert ("ks", "torget-3") in view.cameras


async def test_a_revocation_made_elsewhere_counts_here(town: Any) -> None:
    """Two processes on one database: what one revokes the other refuses, without being told."""
    case = await town.open_case()
    grant = await town.ask(case.case_id)
    await town.issue(grant.grant_id)
    here = town.stubs
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(town.second_replica())
        assert (await town.played("ivar", grant.grant_id)).allowed
        town.stubs = second
        assert (await town.played("ivar", grant.grant_id)).allowed
        town.stubs = here
        await town.revoke(grant.grant_id)
        town.stubs = second

        async def refused() -> bool:
            return bool((await town.played("ivar", grant.grant_id)).reason == "GRANT_REVOKED")

        await eventually(refused)
        town.stubs = here


async def test_a_view_that_cannot_be_followed_answers_nothing(tmp_path: Path) -> None:
    """When the database does not answer, a view older than its bound is an error, never an old answer."""
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/rows.db", MIGRATIONS) as database:
        projection = Projection(database, SystemClock())
        await projection.view()
        (tmp_path / "rows.db").rename(tmp_path / "gone.db")
        for name in ("rows.db-wal", "rows.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        await database.engine.dispose()
        (tmp_path / "rows.db").mkdir()
        await projection.view()
        projection.distrust()
        with pytest.raises(PlatformError, match="database"):
            await projection.view()
