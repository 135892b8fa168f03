"""Who may call what: every RPC of the platform against nobody, a stranger, the wrong role and the wrong workload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lykta.access_control.v1 import directory_service_pb2 as directory
from lykta.access_control.v1 import grant_service_pb2 as cases
from lykta.access_control.v1 import mandate_service_pb2 as mandates
from lykta.access_control.v1 import policy_service_pb2 as policy
from lykta.analytics.v1 import detector_service_pb2 as detectors
from lykta.analytics.v1 import incident_service_pb2 as incidents
from lykta.audit.v1 import log_service_pb2 as log
from lykta.ingest.v1 import session_service_pb2 as sessions
from lykta.storage.v1 import catalogue_service_pb2 as catalogue
from lykta.storage.v1 import playback_service_pb2 as playback

from tests.integration.client import Client, Refusal, connected, stamp
from tests.integration.footage import listed
from tests.integration.harness import Platform, eventually

CAMERA = "tradgardstorget-1"
STRANGERS = ("eva", "fredrik")
"""Together they have every role, at the other controller."""
Answer = tuple[str, str]
DONE: Answer = ("OK", "")
NOBODY: Answer = ("UNAUTHENTICATED", "UNAUTHENTICATED")
HIDDEN: Answer = ("NOT_FOUND", "NOT_FOUND")
ROLE: Answer = ("PERMISSION_DENIED", "ROLE")
NO_GRANT: Answer = ("PERMISSION_DENIED", "NO_GRANT")
WORKLOAD: Answer = ("PERMISSION_DENIED", "WORKLOAD")


@dataclass
class Ids:
    """Things of `ks` that exist, for requests that name them."""

    mandate: str
    document: str
    case: str
    grant: str
    incident: str
    entry: str
    hour: str
    between: tuple[datetime, datetime] = field(
        default_factory=lambda: (datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC))
    )


@dataclass(frozen=True)
class Row:
    """What one RPC answers; `wrong_role` is a member of `ks` whose roles do not allow it, empty where all do."""

    request: Callable[[Ids], Any]
    wrong_role: str = ""
    nobody: Answer = NOBODY
    stranger: Answer = HIDDEN
    refused_role: Answer = ROLE
    workload: str = "subscriber"


def interval(message: Any, ids: Ids) -> Any:
    """Set `from` and `to` of a request."""
    getattr(message, "from").CopyFrom(stamp(ids.between[0]))
    message.to.CopyFrom(stamp(ids.between[1]))
    return message


def grant_request(ids: Ids) -> Any:
    """Ask for a grant in the case."""
    return interval(
        cases.GrantServiceRequestRequest(case_id=ids.case, cameras=[CAMERA], actions=["footage.playback"]), ids
    )


MACHINES_ONLY: dict[str, Answer] = {"nobody": WORKLOAD, "stranger": WORKLOAD}
FOR_ALL: dict[str, Answer] = {"nobody": DONE, "stranger": DONE}

MATRIX: dict[str, Row] = {
    "PolicyService.Authorize": Row(
        lambda ids: policy.AuthorizeRequest(action="case.open", controller="ks"),
        "karin", ("", "UNAUTHENTICATED"), ("", "NOT_FOUND"), ("", "ROLE"),
    ),
    "ControllerService.Create": Row(
        lambda ids: directory.ControllerServiceCreateRequest(
            controller=directory.Controller(controller="bun", name="Barn- och ungdomsnämnden")
        ),
        "karin", stranger=ROLE,
    ),
    "ControllerService.List": Row(lambda ids: directory.ControllerServiceListRequest(), stranger=DONE),
    "PlaceService.Create": Row(
        lambda ids: directory.PlaceServiceCreateRequest(
            place=directory.Place(controller="ks", place="rc", name="R", problem="p", timezone="Europe/Stockholm")
        ),
        "anna",
    ),
    "PlaceService.List": Row(lambda ids: directory.PlaceServiceListRequest(controller="ks")),
    "CameraService.Create": Row(
        lambda ids: directory.CameraServiceCreateRequest(
            camera=directory.Camera(
                controller="ks", camera="ny-1", place="tradgardstorget", name="n", address="rtsp://127.0.0.1:9/n"
            )
        ),
        "anna",
    ),
    "CameraService.Get": Row(lambda ids: directory.CameraServiceGetRequest(controller="ks", camera=CAMERA)),
    "CameraService.List": Row(lambda ids: directory.CameraServiceListRequest(controller="ks")),
    "MemberService.Set": Row(
        lambda ids: directory.MemberServiceSetRequest(
            member=directory.Member(controller="ks", person_id="eva", roles=["investigator"])
        ),
        "anna",
    ),
    "MemberService.List": Row(lambda ids: directory.MemberServiceListRequest(controller="ks"), "olle"),
    "MandateService.Draft": Row(
        lambda ids: mandates.MandateServiceDraftRequest(controller="ks", document_json=ids.document), "anna"
    ),
    "MandateService.Propose": Row(lambda ids: mandates.MandateServiceProposeRequest(mandate_id=ids.mandate), "anna"),
    "MandateService.Approve": Row(lambda ids: mandates.MandateServiceApproveRequest(mandate_id=ids.mandate), "karin"),
    "MandateService.End": Row(
        lambda ids: mandates.MandateServiceEndRequest(mandate_id=ids.mandate, reason="no right to"), "olle"
    ),
    "MandateService.Get": Row(lambda ids: mandates.MandateServiceGetRequest(mandate_id=ids.mandate)),
    "MandateService.List": Row(lambda ids: mandates.MandateServiceListRequest(controller="ks")),
    "CaseService.Open": Row(
        lambda ids: cases.CaseServiceOpenRequest(controller="ks", reference="1", purpose="p"), "olle"
    ),
    "CaseService.Close": Row(lambda ids: cases.CaseServiceCloseRequest(case_id=ids.case), "olle"),
    "CaseService.List": Row(lambda ids: cases.CaseServiceListRequest(controller="ks"), "karin"),
    "GrantService.Request": Row(grant_request, "karin"),
    "GrantService.Approve": Row(lambda ids: cases.GrantServiceApproveRequest(grant_id=ids.grant), "olle"),
    "GrantService.Token": Row(
        lambda ids: cases.GrantServiceTokenRequest(grant_id=ids.grant),
        "bertil", refused_role=("PERMISSION_DENIED", "GRANT_SCOPE"),
    ),
    "GrantService.Revoke": Row(
        lambda ids: cases.GrantServiceRevokeRequest(grant_id=ids.grant, reason="no right to"), "olle"
    ),
    "GrantService.List": Row(lambda ids: cases.GrantServiceListRequest(controller="ks"), "karin"),
    "CatalogueService.ListFootage": Row(
        lambda ids: interval(catalogue.ListFootageRequest(controller="ks", camera=CAMERA), ids), "olle"
    ),
    "CatalogueService.ListGaps": Row(
        lambda ids: interval(catalogue.ListGapsRequest(controller="ks", camera=CAMERA), ids), "olle"
    ),
    "CatalogueService.Coverage": Row(
        lambda ids: interval(catalogue.CoverageRequest(controller="ks", camera=CAMERA), ids)
    ),
    "MediaKeyService.ExportHourKey": Row(
        lambda ids: catalogue.ExportHourKeyRequest(controller="ks", camera=CAMERA, hour=ids.hour), **MACHINES_ONLY
    ),
    "RetentionService.Run": Row(lambda ids: catalogue.RunRequest(controller="ks"), "anna"),
    "PlaybackService.Read": Row(
        lambda ids: playback.ReadRequest(open=interval(playback.Open(controller="ks", camera=CAMERA), ids)),
        "karin", refused_role=NO_GRANT,
    ),
    "IncidentService.List": Row(lambda ids: incidents.ListRequest(controller="ks"), "karin"),
    "IncidentService.Get": Row(lambda ids: incidents.GetRequest(incident_id=ids.incident), "karin"),
    "IncidentService.Watch": Row(lambda ids: incidents.WatchRequest(controller="ks"), "karin"),
    "DetectorService.List": Row(lambda ids: detectors.DetectorServiceListRequest(), **FOR_ALL),
    "SessionService.List": Row(lambda ids: sessions.ListRequest(), stranger=DONE),
    "SessionService.Get": Row(
        lambda ids: sessions.GetRequest(controller="ks", camera=CAMERA), "anna", refused_role=HIDDEN
    ),
    "SessionService.Probe": Row(lambda ids: sessions.ProbeRequest(address="rtsp://127.0.0.1:9/n"), **MACHINES_ONLY),
    "LogService.Append": Row(lambda ids: log.AppendRequest(records=[log.AuditRecord(entry_id="x")]), **MACHINES_ONLY),
    "LogService.Search": Row(lambda ids: log.SearchRequest(controller="ks"), "anna"),
    "LogService.GetEntry": Row(lambda ids: log.GetEntryRequest(entry_id=ids.entry), "anna"),
    "LogService.GetInclusionProof": Row(lambda ids: log.GetInclusionProofRequest(index=0), **FOR_ALL),
    "LogService.GetConsistencyProof": Row(lambda ids: log.GetConsistencyProofRequest(old_size=1), **FOR_ALL),
    "LogService.GetCheckpoint": Row(lambda ids: log.GetCheckpointRequest(), **FOR_ALL),
}  # fmt: skip
"""Every RPC there is."""


@pytest.fixture(scope="module")
def ids(platform: Platform, client: Client) -> Ids:
    """Make or find one thing of each kind in `ks`."""
    known = client.ask("MandateService.List", mandates.MandateServiceListRequest(controller="ks"), "karin").mandates
    opened = client.ask(
        "CaseService.Open", cases.CaseServiceOpenRequest(controller="ks", reference="M-1", purpose="the matrix"), "anna"
    ).case
    found = Ids(known[0].mandate_id, known[0].document_json, opened.case_id, "", "", "", "")
    found.grant = client.ask("GrantService.Request", grant_request(found), "anna").grant.grant_id
    segment = eventually(lambda: listed(client, CAMERA), 60, "a segment")[0]
    found.hour = f"{getattr(segment, 'from').ToDatetime():%Y%m%dT%H}"
    request = incidents.ListRequest(controller="ks")
    incident = eventually(lambda: client.ask("IncidentService.List", request, "olle").incidents, 90, "an incident")[0]
    found.incident = incident.incident_id
    search = log.SearchRequest(controller="ks", action="grant.request")
    record = eventually(lambda: client.ask("LogService.Search", search, "david").records, 30, "the request in the log")
    found.entry = record[0].record.entry_id
    return found


@pytest.fixture(scope="module")
def outsider(platform: Platform) -> Iterator[Client]:
    """A workload with a certificate of the platform that may call nothing."""
    with connected(platform.file, "subscriber") as found:
        yield found


def answer(client: Client, method: str, request: Any, person: str) -> Answer:
    """Make a call and return code and reason."""
    try:
        if method.endswith((".Read", ".Watch")):
            given = iter([request]) if method.endswith(".Read") else request
            next(client.stream(method, given, person, seconds=10))
            return DONE
        response = client.ask(method, request, person)
    except Refusal as refusal:
        return refusal.code, refusal.reason
    if isinstance(response, policy.AuthorizeResponse):
        return "", response.reason
    return DONE


def test_the_matrix_knows_every_rpc() -> None:
    """No RPC exists that the matrix does not speak of."""
    files = (directory, cases, mandates, policy, detectors, incidents, log, sessions, catalogue, playback)
    rpcs = {
        f"{service.name}.{method.name}"
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert set(MATRIX) == rpcs


@pytest.mark.parametrize("method", MATRIX)
def test_who_may_call(method: str, client: Client, outsider: Client, ids: Ids) -> None:
    """Nobody, a stranger, a member without the role and a workload without the right get exactly their refusal."""
    row = MATRIX[method]
    expected = {"nobody": row.nobody, "workload": WORKLOAD}
    found = {
        "nobody": answer(client, method, row.request(ids), ""),
        "workload": answer(outsider, method, row.request(ids), "anna"),
    }
    for person in STRANGERS:
        expected[person], found[person] = row.stranger, answer(client, method, row.request(ids), person)
    if row.wrong_role:
        expected[row.wrong_role] = row.refused_role
        found[row.wrong_role] = answer(client, method, row.request(ids), row.wrong_role)
    if method == "PolicyService.Authorize":
        expected["workload"] = WORKLOAD
    assert found == expected


def test_who_was_refused_is_in_the_log(client: Client) -> None:
    """Every attempt beyond one's right is in the log of the controller concerned, with who tried what."""
    tried = {
        ("eva", "case.open", "NOT_FOUND"),
        ("fredrik", "mandate.approve", "NOT_FOUND"),
        ("karin", "mandate.approve", "ROLE"),
        ("olle", "grant.approve", "ROLE"),
        ("anna", "retention.run", "ROLE"),
        ("eva", "footage.playback.opened", "NOT_FOUND"),
        ("karin", "footage.playback.opened", "NO_GRANT"),
        ("anna", "audit.searched", "ROLE"),
    }
    for person, action, reason in tried:
        search = log.SearchRequest(controller="ks", action=action, actor_id=person)
        eventually(lambda s=search, r=reason: reason_in(client, s, r), 15, f"{person}'s refused {action}")


def reason_in(client: Client, search: log.SearchRequest, reason: str) -> bool:
    """Say whether the log has a denied attempt with a reason."""
    records = [one.record for one in client.ask("LogService.Search", search, "david").records]
    return any((one.result, one.reason) == ("denied", reason) for one in records)


@pytest.mark.parametrize("token", ["not.a.token", "", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0."])
def test_what_is_no_token(token: str, client: Client) -> None:
    """A forged, empty or unsigned token is nobody."""
    request = cases.CaseServiceListRequest(controller="ks")
    assert answer(client, "CaseService.List", request, token) == NOBODY


def test_lists_show_ones_own(client: Client) -> None:
    """A person's lists hold the person's controllers and nothing of others."""
    mine = client.ask("ControllerService.List", directory.ControllerServiceListRequest(), "eva").controllers
    assert [one.controller for one in mine] == ["stangastaden"]
    seen = client.ask("SessionService.List", sessions.ListRequest(), "eva").sessions
    assert {one.controller for one in seen} == {"stangastaden"}


def test_nobody_learns_what_exists(client: Client) -> None:
    """Without a token an id that never was is refused like one that is."""
    unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    requests = {
        "CameraService.Get": directory.CameraServiceGetRequest(controller="ks", camera="nowhere-1"),
        "MandateService.Get": mandates.MandateServiceGetRequest(mandate_id=f"man_{unknown}"),
        "CaseService.Close": cases.CaseServiceCloseRequest(case_id=f"case_{unknown}"),
        "GrantService.Token": cases.GrantServiceTokenRequest(grant_id=f"grt_{unknown}"),
        "IncidentService.Get": incidents.GetRequest(incident_id=f"inc_{unknown}"),
        "SessionService.Get": sessions.GetRequest(controller="ks", camera="nowhere-1"),
        "CatalogueService.ListFootage": catalogue.ListFootageRequest(controller="ks", camera="nowhere-1"),
    }
    assert {name: answer(client, name, request, "") for name, request in requests.items()} == dict.fromkeys(
        requests, NOBODY
    )


def test_an_id_of_somebody_else_looks_like_none(client: Client, ids: Ids) -> None:
    """The words of a refusal do not tell an id of another controller from one that never was."""
    pairs: list[tuple[str, Callable[[str], Any], str]] = [
        ("MandateService.Get", lambda one: mandates.MandateServiceGetRequest(mandate_id=one), ids.mandate),
        ("GrantService.Token", lambda one: cases.GrantServiceTokenRequest(grant_id=one), ids.grant),
        ("IncidentService.Get", lambda one: incidents.GetRequest(incident_id=one), ids.incident),
        ("LogService.GetEntry", lambda one: log.GetEntryRequest(entry_id=one), ids.entry),
    ]
    for method, request, known in pairs:
        told = []
        for one in (known, known[:-1] + ("0" if known[-1] != "0" else "1")):
            with pytest.raises(Refusal) as refused:
                client.ask(method, request(one), "eva")
            told.append((refused.value.code, refused.value.reason, refused.value.message.replace(one, "ID")))
        assert told[0] == told[1]
