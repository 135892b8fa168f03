"""The migrations of audit's database, on SQLite, and on PostgreSQL where LYKTA_TEST_DATABASE says so."""

from itertools import count
from pathlib import Path

import pytest
from lykta_audit.store import MIGRATIONS
from lykta_audit.store.tables import metadata
from lykta_testing.migrations import Schema, check_every_release_arrives


@pytest.fixture
def schema(tmp_path: Path) -> Schema:
    """An empty database."""
    return Schema.on_empty(MIGRATIONS, metadata, tmp_path)


def test_up_and_again_is_what_the_code_describes(schema: Schema) -> None:
    """From nothing up, and once more, which changes nothing: the schema is what the code describes."""
    for _ in range(2):
        schema.to("head")
        assert schema.differences() == []


def test_there_is_no_way_down(schema: Schema) -> None:
    """The log only grows: going down is refused in words, and every table is still there."""
    schema.to("head")
    with pytest.raises(RuntimeError, match="restore a backup"):
        schema.to("base")
    assert schema.differences() == []


def test_every_earlier_revision_arrives_at_the_newest(tmp_path: Path) -> None:
    """A database that an earlier release left is brought up and keeps its rows (the first release has one revision)."""
    numbers = count()

    def make() -> Schema:
        directory = tmp_path / str(next(numbers))
        directory.mkdir()
        return Schema.on_empty(MIGRATIONS, metadata, directory)

    check_every_release_arrives(make)
