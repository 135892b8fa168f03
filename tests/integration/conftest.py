"""Fixtures of the integration tests: one running platform for each module that asks for it, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.client import Client, connected
from tests.integration.footage import Bucket
from tests.integration.harness import Platform, running_platform
from tests.integration.telemetry import Receiver, receiving

TIMEOUT_SECONDS = 240
_PLATFORM = pytest.StashKey[Platform]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by folder, and give every test here time for the start of a platform."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            folder = item.path.parent.name
            item.add_marker({"faults": pytest.mark.fault, "foreign": pytest.mark.foreign}.get(folder, pytest.mark.flow))
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the ends of the platform's logs beside a failure."""
    outcome: Any = yield
    report = outcome.get_result()
    platform = item.funcargs.get("platform") if isinstance(item, pytest.Function) else None
    if report.failed and isinstance(platform, Platform):
        report.sections.append(("ends of the platform's logs", platform.tails()))


@pytest.fixture(scope="module")
def collector() -> Iterator[Receiver]:
    """An operator's trace collector."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def up_options() -> tuple[str, ...]:
    """Further options for `lykta up`; a module overrides it."""
    return ()


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, collector: Receiver, up_options: tuple[str, ...]
) -> Iterator[Platform]:
    """A platform with the demo cameras, which keep a record of what they sent."""
    directory = tmp_path_factory.mktemp("platform")
    with running_platform(directory, "--capture", "--otlp", collector.endpoint, *up_options) as running:
        yield running


@pytest.fixture(scope="module")
def client(platform: Platform) -> Iterator[Client]:
    """People's tool: the workload `cli`."""
    with connected(platform.file, "cli") as found:
        yield found


@pytest.fixture(scope="module")
def tool(platform: Platform) -> Iterator[Client]:
    """The test's own tool: the workload `test-tool`, which may export keys and see object keys."""
    with connected(platform.file, "test-tool") as found:
        yield found


@pytest.fixture(scope="module")
def bucket(tool: Client) -> Bucket:
    """The footage bucket, read from outside."""
    return Bucket(tool)
