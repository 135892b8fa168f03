"""Two pods where one does the work, and two where both do: an upgrade ends, and a lost pod is nobody's outage."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster.harness import Town, eventually

TAKEN_OVER_S = 6.0
"""The lease of the log ends after 3 s, and who writes next is asked within a second."""
TWICE = ("accessControl", "audit", "storage")


@pytest.fixture(scope="module")
def twice(town: Town) -> Iterator[Town]:
    """The installation with two pods of each service that may have several."""
    code, output = town.upgrade(*(word for name in TWICE for word in ("--set", f"{name}.replicas=2")))
    assert code == 0, output
    town.settle()
    try:
        yield town
    finally:
        town.upgrade()
        town.settle()


def test_the_way_of_one_frame_among_several(twice: Town) -> None:
    """With a second pod of each, one of them only standing by to write the log, all is ready and `helm test` passes."""
    code, output = twice.walk()
    assert code == 0, output


@pytest.mark.parametrize("number", [0, 1])
def test_who_stands_by_takes_over(twice: Town, number: int) -> None:
    """Whichever pod of the log's two is lost without a word, the other one writes it, and `helm test` passes."""
    names = sorted(pod["metadata"]["name"] for pod in twice.objects("pods", "audit"))
    assert len(names) == 2, names
    delete = ("delete", "pod", "--grace-period=0", "--force", names[number])
    twice.cluster.kubectl("-n", twice.wanted.namespace, *delete)
    lost = time.monotonic()
    eventually(lambda: time.monotonic() - lost > TAKEN_OVER_S, TAKEN_OVER_S + 5, "time passes")
    code, output = twice.walk()
    assert code == 0, output
    twice.settle()
