"""An operator's traces: from the camera's part to the incident's event, from a request to the bytes, and no secrets."""

from __future__ import annotations

import json
import re
import secrets
from datetime import timedelta
from typing import Any

import pytest
from lykta.access_control.v1 import grant_service_pb2 as cases
from lykta.analytics.v1 import incident_service_pb2 as incidents
from lykta.storage.v1 import playback_service_pb2 as playback

from tests.integration.client import Client, Refusal, granted, instant, played, stamp
from tests.integration.facts import events
from tests.integration.footage import listed
from tests.integration.harness import SERVICES, Platform, eventually
from tests.integration.telemetry import Receiver, SeenSpan

CAMERA = "tradgardstorget-1"


@pytest.fixture(scope="module")
def segment(platform: Platform, tool: Client) -> Any:
    """The first stored segment."""
    return eventually(lambda: listed(tool, CAMERA), 60, "a stored segment", every=0.5)[0]


def trace_of(event: dict[str, Any]) -> str:
    """Return the trace id of a CloudEvent."""
    found = re.fullmatch(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", event["traceparent"])
    assert found, f"no trace context: {event['traceparent']!r}"
    return found[1]


def hangs_together(spans: list[SeenSpan], root: str = "") -> bool:
    """Say whether every span of a trace has its parent in it; `root` is a parent outside."""
    known = {span.span_id for span in spans}
    return all(span.parent_id in known or span.parent_id in ("", root) for span in spans)


def test_one_trace_from_part_to_incident(platform: Platform, client: Client, collector: Receiver) -> None:
    """The trace that a recorder begins with a part goes through analytics to the incident's event, without a seam."""
    book = incidents.ListRequest(controller="ks")
    eventually(lambda: client.ask("IncidentService.List", book, "olle").incidents, 90, "an incident", every=0.5)
    opened = eventually(lambda: events(platform.file, "INCIDENT", "incident.opened"), 30, "its event")[0]
    trace = trace_of(opened)

    def arrived() -> bool:
        return {"lykta-ingest", "lykta-analytics"} <= {span.service for span in collector.traces().get(trace, [])}

    eventually(arrived, 30, "spans of recorder and analytics in the trace of the incident", every=0.5)
    eventually(lambda: hangs_together(collector.traces()[trace]), 15, "the parents of all spans")


def test_one_trace_from_part_to_catalogue(platform: Platform, collector: Receiver, segment: Any) -> None:
    """The trace of a segment goes from the recorder to the catalogue, and both facts carry it."""
    recorded = {
        event["data"]["index"]["segment_id"]: event for event in events(platform.file, "FOOTAGE", "segment.recorded")
    }[segment.segment_id]
    stored = {event["data"]["segment_id"]: event for event in events(platform.file, "FOOTAGE", "segment.stored")}
    trace = trace_of(recorded)
    assert trace_of(stored[segment.segment_id]) == trace

    def arrived() -> bool:
        return "lykta-storage" in {span.service for span in collector.traces().get(trace, [])}

    eventually(arrived, 30, "the catalogue's span in the trace of the segment", every=0.5)


def test_one_trace_from_request_to_bytes(client: Client, collector: Receiver, segment: Any) -> None:
    """A playback's trace holds the decision, the log entry and the reading, under the caller's own trace."""
    start, end = instant(getattr(segment, "from")), instant(segment.to)
    second = timedelta(seconds=1)
    grant = granted(client, (CAMERA,), (start - second, end + second))
    trace, caller = secrets.token_hex(16), secrets.token_hex(8)
    opened = playback.Open(controller="ks", camera=CAMERA, to=stamp(end))
    getattr(opened, "from").CopyFrom(stamp(start))
    client.traceparent = f"00-{trace}-{caller}-01"
    try:
        answers = list(played(client, "anna", opened, grant=grant.token))
    finally:
        client.traceparent = ""
    assert sum(len(one.fragment.bytes) for one in answers) > 0

    wanted = {
        ("lykta-storage", "lykta.storage.v1.PlaybackService/Read"),
        ("lykta-access-control", "lykta.access_control.v1.PolicyService/Authorize"),
        ("lykta-audit", "lykta.audit.v1.LogService/Append"),
    }

    def arrived() -> bool:  # each service sends its spans in its own time, a call's span after those of its parts
        return wanted <= {(span.service, span.name.strip("/")) for span in collector.traces().get(trace, [])}

    eventually(arrived, 30, "spans of storage, access-control and audit in one trace", every=0.5)
    eventually(lambda: hangs_together(collector.traces()[trace], caller), 15, "the parents of all spans")


def telling(platform: Platform) -> list[re.Pattern[str]]:
    """Return what must stand in no span and no log: people's names, passwords, tokens, keys, camera addresses."""
    names = set(platform.file.people) | {"Anna Berg", "Bertil Holm", "Karin Ek"}
    hidden = passwords(platform)
    assert len(hidden) > 8
    return [
        re.compile(r"\b(" + "|".join(map(re.escape, sorted(names))) + r")\b", re.IGNORECASE),
        re.compile("|".join(map(re.escape, sorted(hidden)))),
        re.compile(r"eyJ[A-Za-z0-9_-]{8,}|rtsp://|AGE-SECRET-KEY|BEGIN [A-Z ]*PRIVATE KEY"),
    ]


def test_spans_tell_no_secrets(platform: Platform, collector: Receiver, segment: Any) -> None:
    """No span names a person, and none holds a token, a password or a camera's address."""
    patterns = telling(platform)
    spans = eventually(lambda: found if len(found := collector.spans()) > 100 else [], 30, "a hundred spans")
    for span in spans:
        for key, value in {**span.attributes, "name": span.name}.items():
            found = any(pattern.search(value) for pattern in patterns)
            assert not found, f"{span.service}, span {span.name}: attribute {key} tells a secret or a person"


@pytest.mark.parametrize("service", SERVICES)
def test_logs_tell_no_secrets(service: str, platform: Platform, client: Client, segment: Any) -> None:
    """No line of a service's log names a person, and none holds a token, a password or a camera's address."""
    with pytest.raises(Refusal):
        client.ask("CaseService.Open", cases.CaseServiceOpenRequest(controller="ks", reference="1", purpose="p"), "eva")
    patterns = telling(platform)
    lines = platform.log_of(service).splitlines()
    assert lines
    told = [line for line in lines if any(pattern.search(line) for pattern in patterns)]
    assert not told, told[0][:300]


def passwords(platform: Platform) -> set[str]:
    """Return every password of this platform's secret files."""
    found = set()
    for file in (platform.state_dir / "secrets").iterdir():
        if file.suffix == ".json":
            found |= kept_secret(json.loads(file.read_text()))
        elif file.is_file() and not file.suffix:
            found.add(file.read_text().strip())
    return {one for one in found if one}


def kept_secret(value: Any) -> set[str]:
    """Return every string below a JSON value whose key says that it is a secret."""
    if isinstance(value, list):
        return {one for part in value for one in kept_secret(part)}
    if not isinstance(value, dict):
        return set()
    own = {part for key, part in value.items() if isinstance(part, str) and ("password" in key or "secret" in key)}
    return own | {one for part in value.values() for one in kept_secret(part)}
