"""Controllers are separate: for a person of another one, every id of a controller is simply not there."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
from lykta.access_control.v1 import directory_service_pb2 as directory_pb
from lykta.access_control.v1 import grant_service_pb2 as grant_pb
from lykta.access_control.v1 import mandate_service_pb2 as mandate_pb
from lykta.access_control.v1 import policy_service_pb2 as policy_pb
from lykta_contracts.roles import Action

STRANGER = "berit"
"""Has every role, in the other controller."""


def interval() -> dict[str, datetime]:
    """Return `from` and `to`."""
    return {"from": datetime(2026, 6, 1, 10, tzinfo=UTC), "to": datetime(2026, 6, 1, 11, tzinfo=UTC)}


class Ids:
    """One thing of each kind, real ones of a controller or made-up ones."""

    def __init__(self, controller: str, camera: str, mandate: str, case: str, grant: str) -> None:
        self.controller, self.camera, self.mandate, self.case, self.grant = controller, camera, mandate, case, grant


def every_call(world: Any, ids: Ids, document: str) -> Iterator[tuple[str, Callable[..., Any], Any]]:
    """Yield every RPC that names something: what to call and with what."""
    stubs, controller = world.stubs, ids.controller
    place = directory_pb.Place(controller=controller, place="parken", name="Parken")
    camera = directory_pb.Camera(controller=controller, camera="x", place="torget", name="x", address="rtsp://c/1")
    member = directory_pb.Member(controller=controller, person_id=STRANGER, roles=["admin"])
    yield "place.create", stubs.places.Create, directory_pb.PlaceServiceCreateRequest(place=place)
    yield "place.list", stubs.places.List, directory_pb.PlaceServiceListRequest(controller=controller)
    yield "camera.create", stubs.cameras.Create, directory_pb.CameraServiceCreateRequest(camera=camera)
    yield (
        "camera.get",
        stubs.cameras.Get,
        directory_pb.CameraServiceGetRequest(controller=controller, camera=ids.camera),
    )
    yield "camera.list", stubs.cameras.List, directory_pb.CameraServiceListRequest(controller=controller)
    yield "member.set", stubs.members.Set, directory_pb.MemberServiceSetRequest(member=member)
    yield "member.list", stubs.members.List, directory_pb.MemberServiceListRequest(controller=controller)
    draft = mandate_pb.MandateServiceDraftRequest(controller=controller, document_json=document)
    again = mandate_pb.MandateServiceDraftRequest(controller="bolag", document_json=document, mandate_id=ids.mandate)
    yield "mandate.draft", stubs.mandates.Draft, draft
    yield "mandate.redraft", stubs.mandates.Draft, again
    mandate = {"mandate_id": ids.mandate}
    yield "mandate.propose", stubs.mandates.Propose, mandate_pb.MandateServiceProposeRequest(**mandate)
    yield "mandate.approve", stubs.mandates.Approve, mandate_pb.MandateServiceApproveRequest(**mandate)
    yield "mandate.end", stubs.mandates.End, mandate_pb.MandateServiceEndRequest(**mandate, reason="x")
    yield "mandate.get", stubs.mandates.Get, mandate_pb.MandateServiceGetRequest(**mandate)
    yield "mandate.list", stubs.mandates.List, mandate_pb.MandateServiceListRequest(controller=controller)
    opened = grant_pb.CaseServiceOpenRequest(controller=controller, reference="K", purpose="x")
    wish = {"case_id": ids.case, "cameras": [ids.camera], "actions": ["footage.playback"], **interval()}
    yield "case.open", stubs.cases.Open, opened
    yield "case.close", stubs.cases.Close, grant_pb.CaseServiceCloseRequest(case_id=ids.case)
    yield "case.list", stubs.cases.List, grant_pb.CaseServiceListRequest(controller=controller)
    yield "grant.request", stubs.grants.Request, grant_pb.GrantServiceRequestRequest(**wish)
    yield "grant.approve", stubs.grants.Approve, grant_pb.GrantServiceApproveRequest(grant_id=ids.grant)
    yield "grant.token", stubs.grants.Token, grant_pb.GrantServiceTokenRequest(grant_id=ids.grant)
    yield "grant.revoke", stubs.grants.Revoke, grant_pb.GrantServiceRevokeRequest(grant_id=ids.grant, reason="x")
    yield "grant.list", stubs.grants.List, grant_pb.GrantServiceListRequest(controller=controller)


def rpcs_that_name_something() -> int:
    """Count the RPCs of the protos but for the question itself and those that name nothing of a controller's."""
    files = (directory_pb.DESCRIPTOR, mandate_pb.DESCRIPTOR, grant_pb.DESCRIPTOR)
    return sum(len(service.methods) for file in files for service in file.services_by_name.values()) - 2


async def seen(call: Callable[..., Any], request: Any, person: dict[str, Any]) -> tuple[str, str, str]:
    """Return what a refused caller sees: code, reason and message."""
    try:
        await call(request, **person)
    except grpc.aio.AioRpcError as error:
        reason = dict(error.trailing_metadata() or ()).get("lykta-reason", "")
        return error.code().name, str(reason), error.details() or ""
    return "OK", "", ""


async def test_nothing_of_another_controller_is_there(town: Any) -> None:
    """Over every RPC, a real id of another controller gives the very answer that an invented id gives: NOT_FOUND."""
    mandate = await town.live()
    case = await town.open_case()
    grant = await town.ask(case.case_id)
    await town.issue(grant.grant_id)
    real = Ids("ks", "torget-1", mandate.mandate_id, case.case_id, grant.grant_id)
    invented = Ids("sk", "torget-9", "man_0", "case_0", "grt_0")
    documents = {name: json.dumps({**json.loads(mandate.document_json), "controller": name}) for name in ("ks", "sk")}
    theirs = list(every_call(town, real, documents["ks"]))
    nobodys = list(every_call(town, invented, documents["sk"]))
    # One RPC (Draft) is there twice: for a new mandate and for an existing one.
    assert len(theirs) == rpcs_that_name_something() + 1
    for (name, call, request), (_, _, other) in zip(theirs, nobodys, strict=True):
        for person in (STRANGER, "nils"):
            answer = await seen(call, request, town.as_(person))
            assert answer[:2] == ("NOT_FOUND", "NOT_FOUND"), (name, person, answer)
            assert answer == await seen(call, other, town.as_(person)), (name, person)
    found = await town.stubs.mandates.Get(
        mandate_pb.MandateServiceGetRequest(mandate_id=mandate.mandate_id), **town.as_("ada")
    )
    assert found.mandate.state == mandate_pb.MANDATE_STATE_APPROVED
    mine = await town.stubs.controllers.List(directory_pb.ControllerServiceListRequest(), **town.as_(STRANGER))
    assert [one.controller for one in mine.controllers] == ["bolag"]


async def test_the_question_answers_the_same_for_every_action(town: Any) -> None:
    """Authorize says NOT_FOUND for each action on another controller, whatever grant and camera are named."""
    case = await town.open_case()
    grant = await town.ask(case.case_id)
    await town.issue(grant.grant_id)

    async def ask(action: Action, controller: str, camera: str, grant_id: str) -> Any:
        request = policy_pb.AuthorizeRequest(
            action=action, controller=controller, camera=camera, grant_id=grant_id, **interval()
        )
        return await town.stubs.policy.Authorize(request, **town.as_(STRANGER))

    for action in Action:
        real, invented = await asyncio.gather(
            ask(action, "ks", "torget-1", grant.grant_id), ask(action, "sk", "torget-9", "grt_0")
        )
        assert (real.allowed, real.reason, real.message) == (False, "NOT_FOUND", invented.message)
        assert (list(real.roles), real.case_id, real.purpose) == ([], "", "")


async def test_a_grant_of_one_controller_opens_nothing_in_another(town: Any) -> None:
    """Even for a person in both controllers a grant counts only where it was given."""
    await town.set_member("berit", "bolag", "ivar", ["investigator"])
    case = await town.open_case()
    grant = await town.ask(case.case_id)
    await town.issue(grant.grant_id)
    assert (await town.played("ivar", grant.grant_id)).allowed
    assert (await town.played("ivar", grant.grant_id, controller="bolag")).reason == "NO_GRANT"
