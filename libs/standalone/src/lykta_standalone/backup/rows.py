"""The SQLite databases of a platform: consistent copies while they are written to, their revisions, the log's size."""

import importlib.util
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from alembic.script import ScriptDirectory
from lykta_common.errors import Code, PlatformError

from lykta_standalone.backup.manifest import damaged
from lykta_standalone.registry import SERVICES

DATABASE: Final = "rows.db"
ORDER: Final = ("access-control", "analytics", "storage", "audit")
"""Who states facts before who takes them in, so that a fact in no copy is still in a stream; audit takes in all."""
_SECONDS: Final = 30.0


def copy_database(source: Path, target: Path) -> None:
    """Copy a database that may be in use (SQLite's online backup) and check the copy; blocking.

    One step under one read lock: writers go on in the write-ahead log, and the copy is the state of one moment.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    with closing(_open(source)) as reading, closing(sqlite3.connect(target)) as writing:
        try:
            reading.backup(writing)
            # Neither the copy nor its use needs a write-ahead log; one file is one hash.
            writing.execute("PRAGMA journal_mode=DELETE")
            found = writing.execute("PRAGMA quick_check").fetchone()[0]
        except sqlite3.Error as error:
            raise PlatformError(Code.DATA_LOSS, "INTEGRITY", f"{source} cannot be copied: {error}") from error
    if found != "ok":
        raise damaged(str(target), f"does not pass SQLite's check: {found}")


def revision_of(database: Path) -> str:
    """Return the Alembic revision of a database; empty when it was never migrated."""
    with closing(_open(database)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return ""
    return str(row[0]) if row else ""


def require_known(revisions: dict[str, str]) -> None:
    """Check that this code knows every database's revision; raises FAILED_PRECONDITION that names one it does not."""
    packages = {service.name: service.package for service in SERVICES}
    for name, revision in revisions.items():
        known = _revisions(packages[name]) if name in packages else set()
        if revision not in known:
            message = f"the database of {name} is at revision {revision or '(none)'}, which this release does not know"
            raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", f"{message}; restore it with a newer release")


def log_size(database: Path) -> int:
    """Return how many entries the audit database has; 0 when there is none."""
    if not database.exists():
        return 0
    with closing(_open(database)) as connection:
        try:
            last = connection.execute("SELECT max(idx) FROM entry").fetchone()[0]
        except sqlite3.OperationalError:
            return 0
    return 0 if last is None else int(last) + 1


def _revisions(package: str) -> set[str]:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return set()
    script = ScriptDirectory(str(Path(found.origin).parent / "store" / "migrations"))
    return {item.revision for item in script.walk_revisions()}


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_SECONDS)
