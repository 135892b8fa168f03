"""The migrations of storage's database, on SQLite, and on PostgreSQL where LYKTA_TEST_DATABASE says so."""

from itertools import count
from pathlib import Path

import pytest
from lykta_storage.app import MIGRATIONS
from lykta_storage.store.tables import metadata
from lykta_testing import postgres
from lykta_testing.migrations import Schema, check_every_release_arrives, check_starts_together, check_up_down_up


@pytest.fixture
def schema(tmp_path: Path) -> Schema:
    """An empty database."""
    return Schema.on_empty(MIGRATIONS, metadata, tmp_path)


def test_up_down_and_up_again(schema: Schema) -> None:
    """From nothing up, down to nothing, up again; at the top the schema is what the code describes."""
    check_up_down_up(schema)


def test_every_earlier_revision_arrives_at_the_newest(tmp_path: Path) -> None:
    """A database that an earlier release left is brought up and keeps its rows (the first release has one revision)."""
    numbers = count()

    def make() -> Schema:
        directory = tmp_path / str(next(numbers))
        directory.mkdir()
        return Schema.on_empty(MIGRATIONS, metadata, directory)

    check_every_release_arrives(make)


def test_replicas_that_start_together_take_turns() -> None:
    """On PostgreSQL, processes that migrate the same database at once all succeed."""
    check_starts_together(Schema(MIGRATIONS, metadata, postgres.new_database()))
