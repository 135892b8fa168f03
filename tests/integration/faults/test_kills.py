"""A process dies as in a power cut: nothing acknowledged is lost, the rest goes on, and what is missing is declared."""

from __future__ import annotations

import time

import pytest
from lykta.access_control.v1 import grant_service_pb2 as cases
from lykta.analytics.v1 import incident_service_pb2 as incidents
from lykta.audit.v1 import log_service_pb2 as log
from lykta.storage.v1 import playback_service_pb2 as playback

from tests.integration.client import Client, instant
from tests.integration.harness import Platform, eventually
from tests.integration.witness import COMMIT_FRAMES, GOP_FRAMES, Witness

QUIET: list[float] = []
"""When the last kill was over."""


@pytest.mark.parametrize("name", ["analytics", "access-control", "audit", "storage", "nats-server", "weed"])
def test_a_dead_process_costs_no_footage(name: str, platform: Platform, witnesses: list[Witness]) -> None:
    """Killing anything but the recorder loses not one picture and leaves no gap; recording goes on meanwhile."""
    before = time.time()
    known = {witness.camera: witness.acknowledged() for witness in witnesses}
    at = platform.killed_and_back(name)
    for witness in witnesses:
        witness.stored_from(at)
        assert known[witness.camera] <= {one.segment_id for one in witness.listed()}
        loss = witness.loss(before - 5)
        assert (loss.frames, loss.strangers) == (0, [])
        assert witness.gaps(before) == []


def test_a_dead_recorder_costs_one_gop(platform: Platform, witnesses: list[Witness]) -> None:
    """Killing the recorder loses at most one GOP of what it had received, at the end, and the gap says why."""
    before = time.time()
    known = {witness.camera: witness.acknowledged() for witness in witnesses}
    at = platform.killed_and_back("ingest")
    for witness in witnesses:
        witness.stored_from(at)
        assert known[witness.camera] <= {one.segment_id for one in witness.listed()}
        loss = witness.loss(before - 15, killed_at=at)
        assert loss.strangers == []
        for session, broken in loss.incomplete.items():
            assert loss.only_at_the_end_of(session)
            assert loss.sessions[session][0].at < at, "a later session lost something"
            assert sum(gop.lost_frames for gop in broken) <= GOP_FRAMES + COMMIT_FRAMES
        declared = eventually(lambda one=witness: one.gaps(before), 30, "a declared gap")
        assert [gap.cause for gap in declared] == [playback.GAP_CAUSE_PLATFORM] * len(declared)
        assert any(
            instant(getattr(gap, "from")).timestamp() - 1.5 <= at <= instant(gap.to).timestamp() for gap in declared
        )

    QUIET.append(time.time())


def test_what_was_promised_is_kept(platform: Platform, client: Client, witnesses: list[Witness]) -> None:
    """Cases, log entries and incidents that were answered for are there after a kill of the service that has them."""
    opened = cases.CaseServiceOpenRequest(controller="ks", reference="F-1", purpose="a kill")
    search = log.SearchRequest(controller="ks", page_size=1000)
    book = incidents.ListRequest(controller="ks", page_size=1000)
    eventually(lambda: client.ask("IncidentService.List", book, "olle").incidents, 60, "an incident")
    made = {client.ask("CaseService.Open", opened, "anna").case.case_id for _ in range(10)}
    logged = {one.record.entry_id for one in client.ask("LogService.Search", search, "david").records}
    noticed = {one.incident_id for one in client.ask("IncidentService.List", book, "olle").incidents}
    for name in ("access-control", "audit", "analytics"):
        platform.killed_and_back(name)
    mine = cases.CaseServiceListRequest(controller="ks")
    for method, request, person, field, kept in (
        ("CaseService.List", mine, "anna", "cases", made),
        ("LogService.Search", search, "david", "records", logged),
        ("IncidentService.List", book, "olle", "incidents", noticed),
    ):
        answered = client.ask(method, request, person)
        found = {
            one.record.entry_id
            if field == "records"
            else getattr(one, "case_id", "") or getattr(one, "incident_id", "")
            for one in getattr(answered, field)
        }
        assert kept <= found


def test_everything_is_recorded_or_explained(witnesses: list[Witness]) -> None:
    """When things have settled, every second that a mandate ordered is recorded or lies in a declared gap."""
    until = QUIET[-1] if QUIET else time.time()
    for witness in witnesses:
        balance = witness.settled(witness.begun, until)
        assert balance.recorded_ms > 0.8 * balance.scheduled_ms
