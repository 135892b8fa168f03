"""PostgreSQL for tests: asked for by one word, and every database of its own."""

import pytest
from lykta_testing import postgres


@pytest.mark.parametrize("word", ["postgres", "SQLite", ""])
def test_another_word_is_refused(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that is no database's name is refused with the words that are, rather than taken for the usual one."""
    monkeypatch.setenv(postgres.VARIABLE, word)
    with pytest.raises(ValueError, match="use sqlite or postgresql"):
        postgres.wanted()


async def test_every_database_is_new() -> None:
    """Databases are made on one server, also from inside a running loop, and no two are the same."""
    made = [postgres.new_database() for _ in range(2)]
    assert made[0] != made[1]
    assert made[0].partition("?")[2] == made[1].partition("?")[2]
