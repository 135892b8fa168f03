"""Without a terminal a run is told in plain lines, each when it becomes true."""

from lykta_standalone.display import PlainDisplay
from lykta_standalone.keeper import Condition
from lykta_standalone.status import CameraStatus, IncidentStatus, Snapshot


def _snapshot(state: str = "RECORDING", segments: int = 0, restarts: int = 0, life: str = "") -> Snapshot:
    incident = IncidentStatus("inc_1", "ks", "torg-1", "person-in-zone", life, "2026-11-23T09:00:00Z")
    return Snapshot(
        "2026-11-23T09:00:00+00:00",
        (Condition("ingest", "running", 7, restarts, "killed by SIGKILL"),),
        {"ingest": "ready"},
        (CameraStatus("ks", "torg-1", state, "no route", segments, 0, ""),),
        (incident,) if life else (),
    )


def test_only_what_changed_is_written() -> None:
    """The first snapshot tells everything, an equal one nothing, another what is new."""
    lines: list[str] = []
    display = PlainDisplay(lines.append)
    display.show(_snapshot("CONNECTING"))
    assert lines == ["lykta: ingest: ready\n", "lykta: camera ks/torg-1: connecting (no route)\n"]
    lines.clear()
    display.show(_snapshot("CONNECTING"))
    assert lines == []
    display.show(_snapshot(segments=3, restarts=1, life="open"))
    assert lines == [
        "lykta: ingest: ready, restarted 1 times (killed by SIGKILL)\n",
        "lykta: camera ks/torg-1: recording\n",
        "lykta: 3 segments stored, 1 incidents\n",
        "lykta: incident open: person-in-zone at ks/torg-1, 2026-11-23T09:00:00Z\n",
    ]
