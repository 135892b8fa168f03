"""Recording while the recorder is replaced: every second is stored, or its absence is declared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cluster.harness import Town, eventually

SETTLED_S = 75
"""After this long storage calls missing time unexplained, so that nothing is pending in older time."""


def milliseconds(camera: dict[str, Any], name: str) -> int:
    """A number of the coverage answer; protobuf JSON leaves zeros out and writes 64 bit as text."""
    return int(camera.get(name, 0))


def coverage(town: Town, start: datetime, end: datetime) -> dict[str, dict[str, Any]]:
    """What the platform says of its cameras of Kommunstyrelsen between two instants."""
    times = ["--from", start.isoformat(timespec="seconds"), "--to", end.isoformat(timespec="seconds")]
    found = town.lykta("coverage", *times, "--controller", "ks", "--as", "anna")
    return {camera["camera"]: camera for camera in found.get("cameras", [])}


def now() -> datetime:
    """The present second."""
    return datetime.now(UTC).replace(microsecond=0)


def test_an_upgrade_loses_no_second_undeclared(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    """A recorder that is replaced by an upgrade drains, goes on, and what lies between is recorded or explained."""

    def recorded_since(start: datetime) -> bool:
        if now() <= start:
            return False
        found = coverage(town, start, now())
        return len(found) == 2 and all(milliseconds(camera, "recordedMs") > 5000 for camera in found.values())

    before = town.pod("ingest")["metadata"]["uid"]
    start = now()
    eventually(lambda: recorded_since(start), 90, "cameras are recorded before the upgrade")
    code, output = town.upgrade("--set", "ingest.settings.LOG_LEVEL=debug")
    assert code == 0, output
    town.settle()
    assert town.pod("ingest")["metadata"]["uid"] != before, "the recorder was not replaced"
    again = now()
    eventually(lambda: recorded_since(again), 90, "cameras are recorded after the upgrade")
    end = now()
    eventually(lambda: now() - end > timedelta(seconds=SETTLED_S), SETTLED_S + 10, "time passes")
    for name, camera in coverage(town, start, end).items():
        scheduled, recorded = milliseconds(camera, "scheduledMs"), milliseconds(camera, "recordedMs")
        explained = milliseconds(camera, "explainedMs")
        with capsys.disabled():
            town.say(f"{name}: {scheduled} ms scheduled, {recorded} recorded, {explained} explained")
        assert milliseconds(camera, "unexplainedMs") == 0, camera
        assert milliseconds(camera, "pendingMs") == 0, camera
        assert scheduled == recorded + explained, camera
        assert explained < scheduled / 2, camera
        assert scheduled >= (end - start).total_seconds() * 1000 - 1000, camera
