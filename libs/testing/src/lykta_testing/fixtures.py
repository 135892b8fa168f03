"""Pytest fixtures; a package's conftest says `pytest_plugins = ["lykta_testing.fixtures"]`."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from lykta_testing import postgres
from lykta_testing.clock import ManualClock
from lykta_testing.platform import Backbone, open_backbone
from lykta_testing.postgres import OwnServer


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still."""
    return ManualClock()


@pytest.fixture
async def backbone(tmp_path: Path) -> AsyncIterator[Backbone]:
    """NATS and S3, real, empty, of this test alone."""
    async with open_backbone(tmp_path) as running:
        yield running


@pytest.fixture
async def nats_backbone(tmp_path: Path) -> AsyncIterator[Backbone]:
    """NATS alone, real, empty, of this test alone (40 ms)."""
    async with open_backbone(tmp_path, s3=False) as running:
        yield running


@pytest.fixture
def postgresql() -> Iterator[OwnServer]:
    """A PostgreSQL of this test alone, to be killed and started again (2 s)."""
    with postgres.own_server() as running:
        yield running


@pytest.fixture(autouse=True)
def log_configuration() -> Iterator[None]:
    """Give every test the library's own log configuration, whatever the one before set."""
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    yield
    structlog.reset_defaults()
