"""The running service on real gRPC, NATS and database: mandates, grants, facts and log entries."""

import asyncio
from collections import Counter
from typing import Any

import grpc
import pytest
from lykta_testing.platform import eventually


async def test_a_mandate_reaches_the_recorders_signed_and_ends_signed(town: Any) -> None:
    """Approval puts a verified live order for each camera into the bucket, ending a verified ended one above it."""
    mandate = await town.draft(cameras=["torget-1", "torget-2"])
    await town.propose(mandate.mandate_id)
    async with town.wire() as wire:
        assert await wire.order("ks.torget-1") is None
        await town.approve(mandate.mandate_id)
        for camera in ("torget-1", "torget-2"):
            order = await eventually(lambda key=f"ks.{camera}": wire.order(key))
            assert (order.status, order.mandate.mandate_id, order.mandate.version) == ("live", mandate.mandate_id, 1)
            assert order.camera_address == f"rtsp://camera.example/{camera}"
        live = order
        await town.end(mandate.mandate_id)

        async def ended() -> Any:
            found = await wire.order("ks.torget-2")
            return found if found.status == "ended" else None

        order = await eventually(ended)
        assert order.serial > live.serial


async def test_only_a_second_person_with_the_role_approves(town: Any) -> None:
    """Who drafted or proposed cannot approve, even as approver; who lacks the role cannot either."""
    mandate = await town.draft(by="adam")
    assert await town.refused(town.approve(mandate.mandate_id)) == "WRONG_STATE"
    await town.propose(mandate.mandate_id, by="ada")
    assert await town.refused(town.approve(mandate.mandate_id, by="adam")) == "SECOND_PERSON"
    assert await town.refused(town.approve(mandate.mandate_id, by="ada")) == "ROLE"
    assert (await town.approve(mandate.mandate_id, by="bea")).approved_by == "bea"


async def test_who_wrote_an_earlier_draft_cannot_approve_a_later_one(town: Any) -> None:
    """A draft written again by somebody else does not make its first author a second person."""
    mandate = await town.draft(by="adam")
    await town.draft(by="ada", mandate_id=mandate.mandate_id, purpose="robbery at the square")
    await town.propose(mandate.mandate_id, by="ada")
    assert await town.refused(town.approve(mandate.mandate_id, by="adam")) == "SECOND_PERSON"


async def test_two_approvers_at_once_make_one_approval(town: Any) -> None:
    """Of two approvals at the same time one counts, the other is told; there is one order and one log entry."""
    mandate = await town.draft()
    await town.propose(mandate.mandate_id)
    calls = [town.approve(mandate.mandate_id, by=person) for person in ("bea", "boris", "bea", "boris")]
    results = await asyncio.gather(*calls, return_exceptions=True)
    won = {result.approved_by for result in results if not isinstance(result, BaseException)}
    assert len(won) == 1
    assert 1 <= sum(isinstance(result, grpc.aio.AioRpcError) for result in results) <= 2
    async with town.wire() as wire:
        await town.end(mandate.mandate_id)
        entries = [e for e in await wire.entries("mandate.end") if e["action"] == "mandate.approve"]
        assert [entry["result"] for entry in entries] == ["done"]


async def test_a_newer_version_replaces_the_older_one(town: Any) -> None:
    """Approving version 2 ends version 1; a camera it drops gets an ended order, the rest a higher live one."""
    first = await town.live(cameras=["torget-1", "torget-2"])
    second = await town.draft(mandate_id=first.mandate_id, cameras=["torget-1"])
    assert (second.mandate_id, second.version) == (first.mandate_id, 2)
    await town.propose(first.mandate_id)
    await town.approve(first.mandate_id)
    async with town.wire() as wire:

        async def dropped() -> Any:
            found = await wire.order("ks.torget-2")
            return found if found and found.status == "ended" else None

        assert (await eventually(dropped)).mandate.version == 1
        kept = await wire.order("ks.torget-1")
        assert (kept.status, kept.mandate.version) == ("live", 2)
        await wire.entries("mandate.approve", 2)
        ended = [event.data for event in await wire.events("GOVERNANCE") if event.type == "lykta.mandate.ended.v1"]
        assert [fact["cameras"] for fact in ended] == [["torget-2"]]


async def test_a_camera_has_one_live_mandate(town: Any) -> None:
    """Another mandate cannot take a camera over; after the first has ended it can."""
    first = await town.live()
    other = await town.draft()
    await town.propose(other.mandate_id)
    assert await town.refused(town.approve(other.mandate_id)) == "WRONG_STATE"
    await town.end(first.mandate_id)
    assert (await town.approve(other.mandate_id)).approved_by == "bea"


@pytest.mark.parametrize(
    "changes",
    [
        {"cameras": ["nowhere-1"]},
        {"place": "nowhere"},
        {"hours": {"timezone": "Europe/Helsinki"}},
        {"retention_hours": 96},
        {"audio": True},
        {"surprise": 1},
        {"valid_to": "2025-01-01T00:00:00Z"},
    ],
)
async def test_documents_that_do_not_fit_are_refused(town: Any, changes: dict[str, Any]) -> None:
    """A document about what is not there, or that the law or the platform does not allow, is refused as a field."""
    assert await town.refused(town.draft(**changes)) == "INVALID_FIELD"


async def test_a_grant_gives_what_it_says_until_it_is_revoked(town: Any) -> None:
    """Only the person, camera, action and interval of an issued grant are allowed; revoking it ends that at once."""
    case = await town.open_case()
    grant = await town.ask(case.case_id)
    assert (await town.played("ivar", grant.grant_id)).reason == "NO_GRANT"
    assert await town.refused(town.token(grant.grant_id)) == "NO_GRANT"
    await town.issue(grant.grant_id)
    answer = await town.played("ivar", grant.grant_id)
    assert answer.allowed, answer.message
    assert (answer.person_id, answer.person_name, answer.case_id) == ("ivar", "Ivar", case.case_id)
    assert (answer.purpose, list(answer.controllers)) == ("assault at the square", ["ks"])
    assert answer.valid_until.ToSeconds() > 0
    for changes in ({"camera": "torget-2"}, town.footage(day=2), town.footage(hours=1.001)):
        refusal = await town.played("ivar", grant.grant_id, **changes)
        assert (refusal.allowed, refusal.reason) == (False, "GRANT_SCOPE")
        assert refusal.message
    assert (await town.played("inga", grant.grant_id)).reason == "GRANT_SCOPE"
    assert (await town.played("olle", grant.grant_id)).reason == "ROLE"
    assert (await town.played("berit", grant.grant_id)).reason == "NOT_FOUND"
    assert (await town.played("ivar", "")).reason == "NO_GRANT"
    assert await town.refused(town.token(grant.grant_id, by="inga")) == "GRANT_SCOPE"
    await town.revoke(grant.grant_id)
    assert (await town.played("ivar", grant.grant_id)).reason == "GRANT_REVOKED"
    assert await town.refused(town.token(grant.grant_id)) == "GRANT_REVOKED"


async def test_own_requests_are_not_approved(town: Any) -> None:
    """An approver who asks for a grant needs another approver."""
    case = await town.open_case(by="inga")
    grant = await town.ask(case.case_id, by="inga")
    assert await town.refused(town.issue(grant.grant_id, by="inga")) == "SECOND_PERSON"
    assert (await town.issue(grant.grant_id, by="boris")).approved_by == "boris"


async def test_an_operator_cannot_be_granted_playback(town: Any) -> None:
    """A grant never reaches further than the role of who asks: live view yes, playback no."""
    case = await town.open_case()
    assert await town.refused(town.ask(case.case_id, by="olle")) == "ROLE"
    grant = await town.ask(case.case_id, by="olle", actions=["footage.live"])
    assert list(grant.actions) == ["footage.live"]


async def test_closing_a_case_revokes_what_was_given_in_it(town: Any) -> None:
    """Issued and requested grants end with their case, each stated once; closing again changes nothing."""
    case = await town.open_case()
    issued, requested = await town.ask(case.case_id), await town.ask(case.case_id)
    await town.issue(issued.grant_id)
    await town.close_case(case.case_id)
    await town.close_case(case.case_id)
    assert (await town.played("ivar", issued.grant_id)).reason == "CASE_CLOSED"
    assert await town.refused(town.issue(requested.grant_id)) == "CASE_CLOSED"
    assert await town.refused(town.ask(case.case_id)) == "CASE_CLOSED"
    async with town.wire() as wire:

        async def revoked() -> Any:
            facts = await wire.events("GOVERNANCE")
            ids = [event.data["grant_id"] for event in facts if event.type == "lykta.grant.revoked.v1"]
            return sorted(ids) if len(ids) == 2 else None

        assert await eventually(revoked) == sorted([issued.grant_id, requested.grant_id])


async def test_every_step_is_one_fact_and_one_log_entry(town: Any) -> None:
    """The story of a mandate and a grant leaves exactly one entry for each step and for each denied attempt."""
    mandate = await town.live()
    await town.approve(mandate.mandate_id)
    case = await town.open_case()
    grant = await town.ask(case.case_id)
    assert await town.refused(town.issue(grant.grant_id, by="ivar")) == "ROLE"
    await town.issue(grant.grant_id)
    await town.issue(grant.grant_id)
    await town.played("olle", grant.grant_id)
    await town.revoke(grant.grant_id)
    await town.revoke(grant.grant_id)
    await town.close_case(case.case_id)
    await town.end(mandate.mandate_id)
    async with town.wire() as wire:
        entries = await wire.entries("mandate.end")
        facts = Counter(event.type for event in await wire.events("GOVERNANCE"))
    steps = [(e["actor"]["id"], e["action"], e["result"], e["reason"]) for e in entries if e["controller"] == "ks"]
    assert [step for step in steps if not step[1].startswith(("member", "place", "camera", "controller"))] == [
        ("ada", "mandate.draft", "done", ""),
        ("ada", "mandate.propose", "done", ""),
        ("bea", "mandate.approve", "done", ""),
        ("ivar", "case.open", "done", ""),
        ("ivar", "grant.request", "done", ""),
        ("ivar", "grant.approve", "denied", "ROLE"),
        ("bea", "grant.approve", "done", ""),
        ("olle", "footage.playback", "denied", "ROLE"),
        ("bea", "grant.revoke", "done", ""),
        ("ivar", "case.close", "done", ""),
        ("ada", "mandate.end", "done", ""),
    ]
    assert len({entry["entry_id"] for entry in entries}) == len(entries)
    assert facts == {
        "lykta.mandate.approved.v1": 1,
        "lykta.approval.given.v1": 2,
        "lykta.case.opened.v1": 1,
        "lykta.grant.issued.v1": 1,
        "lykta.grant.revoked.v1": 1,
        "lykta.case.closed.v1": 1,
        "lykta.mandate.ended.v1": 1,
    }


async def test_the_operator_of_the_platform_sees_no_footage(town: Any) -> None:
    """Running the platform names a first administrator, and nothing after that."""
    assert await town.refused(town.set_member("root", "ks", "root", ["admin"])) == "ROLE"
    assert (await town.authorize("root", "footage.list")).reason == "ROLE"
    assert (await town.authorize("nils", "footage.list")).reason == "NOT_FOUND"


async def test_a_controller_keeps_an_administrator(town: Any) -> None:
    """The last administrator cannot be taken away; another one's leaving counts at once."""
    await town.set_member("ada", "ks", "adam", [])
    assert (await town.authorize("adam", "camera.list")).reason == "NOT_FOUND"
    assert await town.refused(town.set_member("ada", "ks", "ada", ["dpo"])) == "WRONG_STATE"


async def test_the_same_thing_again_changes_nothing_and_another_is_a_conflict(town: Any) -> None:
    """Adding a camera twice with the same content is one camera; with other content it is refused."""
    first = (await town.add_camera("ada", "ks", "torget-3")).camera
    assert (await town.add_camera("ada", "ks", "torget-3")).camera == first
    assert await town.refused(town.add_camera("ada", "ks", "torget-3", credentials_ref="other")) == "CONFLICT"
    for address in ("rtsp://user:secret@camera.example/1", "http://camera.example/1", "rtsp://"):
        assert await town.refused(town.add_camera("ada", "ks", "torget-4", address=address)) == "INVALID_FIELD"


async def test_other_services_may_ask_and_nothing_else(town: Any) -> None:
    """A service's certificate opens Authorize; every other RPC is for people's tools."""
    async with town.calling_as("storage") as storage:
        town.stubs, people = storage, town.stubs
        assert (await town.authorize("ivar", "footage.list")).allowed
        assert await town.refused(town.open_case()) == "WORKLOAD"
        town.stubs = people


async def test_without_a_valid_login_nothing_is_answered(town: Any) -> None:
    """A missing or expired token is an answer to Authorize and an error to every other RPC, each logged once."""
    town.as_ = lambda _person: {"metadata": ()}
    answer = await town.authorize("ivar", "footage.list")
    assert (answer.allowed, answer.reason, answer.person_id) == (False, "UNAUTHENTICATED", "")
    assert await town.refused(town.open_case()) == "UNAUTHENTICATED"
    async with town.wire() as wire:
        entries = await wire.entries("case.open")
    found = [e for e in entries if e["reason"] == "UNAUTHENTICATED"]
    assert [(e["actor"], e["controller"]) for e in found] == [({"kind": "service", "id": "cli"}, "")] * 2


async def test_a_refused_question_is_logged_once_in_the_platform(town: Any) -> None:
    """What storage and audit log themselves, and what the recorder only filters by, is not logged here as well."""
    for workload, action, person in (
        ("storage", "footage.playback", "ivar"),
        ("audit", "audit.search", "ivar"),
        ("ingest", "session.list", "berit"),
        ("storage", "footage.list", "olle"),
        ("analytics", "incident.list", "tora"),
        ("ingest", "session.list", "disa"),
    ):
        mine, footage = town.stubs, town.footage() if action == "footage.playback" else {}
        async with town.calling_as(workload) as town.stubs:
            answer = await town.authorize(person, action, camera="torget-1", **footage)
        town.stubs = mine
        assert not answer.allowed
    async with town.wire() as wire:
        entries = await wire.entries("session.list")
    denied = [(e["details"]["asked_by"], e["action"], e["reason"]) for e in entries if e["result"] == "denied"]
    assert denied == [
        ("storage", "footage.list", "ROLE"),
        ("analytics", "incident.list", "ROLE"),
        ("ingest", "session.list", "ROLE"),
    ]
