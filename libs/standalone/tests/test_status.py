"""The status file: what it says, and when it is too old to be believed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lykta_common.errors import PlatformError
from lykta_standalone.cli.platform import STALE_SECONDS, read_status
from lykta_standalone.keeper import Condition
from lykta_standalone.status import Snapshot

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """A snapshot comes back with its processes."""
    path = tmp_path / "status.json"
    path.write_text(Snapshot(NOW.isoformat(), (Condition("audit", "running", 7, 2, "killed by SIGKILL"),)).to_json())
    (process,) = read_status(path, NOW + timedelta(seconds=2))["processes"]
    assert (process["name"], process["pid"], process["restarts"]) == ("audit", 7, 2)


def test_the_word_of_a_dead_supervisor_is_not_repeated(tmp_path: Path) -> None:
    """A status that nobody has renewed for a while, or that is no status, is an error: try again."""
    path = tmp_path / "status.json"
    with pytest.raises(PlatformError, match="no status yet"):
        read_status(path, NOW)
    path.write_text("{}")
    with pytest.raises(PlatformError, match="no status yet"):
        read_status(path, NOW)
    path.write_text(Snapshot(NOW.isoformat()).to_json())
    with pytest.raises(PlatformError, match="may have been killed"):
        read_status(path, NOW + timedelta(seconds=STALE_SECONDS + 1))
