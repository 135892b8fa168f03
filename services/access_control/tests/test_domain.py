"""The domain's promises as properties: two persons behind every approval, grants that give no more than they say."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_access_control.domain import grants, mandates
from lykta_access_control.domain.decision import Person, Question, View, decide
from lykta_access_control.domain.directory import checked_address, checked_person, checked_slug
from lykta_access_control.domain.grants import Case, Grant, GrantState, Interval, Wish
from lykta_access_control.domain.mandates import Mandate, MandateState
from lykta_access_control.domain.refusal import RefusedError
from lykta_contracts.mandates import LegalGround, MandateDocument
from lykta_contracts.roles import Action, Role

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PEOPLE = ("ada", "bea", "cia")
STEPS = st.lists(
    st.tuples(st.sampled_from(["redraft", "propose", "approve", "end"]), st.sampled_from(PEOPLE), st.integers(0, 3)),
    max_size=12,
)
GRANT_STEPS = st.lists(
    st.tuples(st.sampled_from(["approve", "revoke", "close"]), st.sampled_from(PEOPLE), st.integers(0, 20)), max_size=12
)


def document(purpose: str = "violence") -> MandateDocument:
    """Make a document."""
    return MandateDocument(
        controller="ks",
        place="torget",
        cameras=("torget-1", "torget-2"),
        purpose=purpose,
        legal_ground=LegalGround(text="filed"),
        valid_from=NOW - timedelta(days=1),
        valid_to=NOW + timedelta(days=365),
        review_at=NOW + timedelta(days=180),
    )


def walk(mandate: Mandate, step: str, person: str, number: int) -> Mandate:
    """Take one step."""
    match step:
        case "redraft":
            return mandates.redraft(mandate, document(f"purpose {number}"), person)
        case "propose":
            return mandates.propose(mandate, person)
        case "approve":
            return mandates.approve(mandate, person, NOW)
        case _:
            return mandates.end(mandate, person, "over", NOW)


@given(author=st.sampled_from(PEOPLE), steps=STEPS)
def test_no_way_leads_to_an_approval_by_one_person(author: str, steps: list[tuple[str, str, int]]) -> None:
    """Whatever is tried in whatever order, an approved mandate has an approver who neither wrote nor proposed it."""
    mandate, writers = mandates.draft("man_1", 1, document(), author), {author}
    for step, person, number in steps:
        before = mandate
        try:
            mandate = walk(mandate, step, person, number)
        except RefusedError:
            mandate = before
        if step == "redraft" and mandate is not before:
            writers.add(person)
        assert mandate.authors == writers
        assert (mandate.state is MandateState.APPROVED) <= (
            before.state in (MandateState.PROPOSED, MandateState.APPROVED)
        )
        assert before.state is not MandateState.ENDED or mandate is before
        if mandate.approved_by:
            assert mandate.approved_by not in writers | {mandate.proposed_by}


@given(steps=STEPS)
def test_what_was_proposed_never_changes(steps: list[tuple[str, str, int]]) -> None:
    """The document that is approved is, byte for byte, the one that was proposed."""
    mandate, frozen = mandates.draft("man_1", 1, document(), "ada"), None
    for step, person, number in steps:
        try:
            mandate = walk(mandate, step, person, number)
        except RefusedError:
            continue
        if mandate.state is MandateState.PROPOSED and frozen is None:
            frozen = mandate.document.to_json()
        assert frozen is None or mandate.document.to_json() == frozen


@given(person=st.sampled_from(PEOPLE))
def test_steps_are_idempotent_for_the_same_person(person: str) -> None:
    """Proposing, approving and ending again by the same person gives back the very same value."""
    proposed = mandates.propose(mandates.draft("man_1", 1, document(), "zoe"), "zoe")
    assert mandates.propose(proposed, "zoe") is proposed
    approved = mandates.approve(proposed, person, NOW)
    assert mandates.approve(approved, person, NOW + timedelta(days=1)) is approved
    ended = mandates.end(approved, person, "over", NOW)
    assert mandates.end(ended, "zoe", "again", NOW) is ended


def test_an_expired_document_is_not_approved() -> None:
    """A mandate whose validity is over cannot come into force."""
    proposed = mandates.propose(mandates.draft("man_1", 1, document(), "ada"), "ada")
    with pytest.raises(RefusedError, match="validity is over"):
        mandates.approve(proposed, "bea", proposed.document.valid_to)


def a_case(closed: bool = False) -> Case:
    """Make a case."""
    return Case("case_1", "ks", "K-1", "assault", "ada", NOW, NOW if closed else None)


def a_grant(person: str = "ada", **changes: Any) -> Grant:
    """Make a requested grant: two hours of one camera."""
    values = {"cameras": ("torget-1",), "actions": ("footage.playback",), "interval": span(0, 120)} | changes
    return grants.request("grt_1", a_case(), person, Wish(**values), NOW)


def span(start: int, end: int) -> Interval:
    """Make an interval by minutes from the evening before."""
    return Interval(
        NOW - timedelta(hours=12) + timedelta(minutes=start), NOW - timedelta(hours=12) + timedelta(minutes=end)
    )


@given(asker=st.sampled_from(PEOPLE), steps=GRANT_STEPS)
def test_no_way_leads_to_a_grant_by_one_person(asker: str, steps: list[tuple[str, str, int]]) -> None:
    """An issued grant has a second person behind it, never outlives its validity, and never comes back."""
    grant, case, over = a_grant(asker), a_case(), False
    for step, person, hours in steps:
        now = NOW + timedelta(hours=hours)
        try:
            match step:
                case "approve":
                    grant = grants.approve(grant, case, person, now)
                case "revoke":
                    grant = grants.revoke(grant, person, "done", now)
                case _:
                    case = grants.close(case, person, now)
        except RefusedError:
            pass
        over = over or grant.state is GrantState.REVOKED
        assert not over or grant.state is GrantState.REVOKED
        if grant.approved_by:
            assert grant.approved_by != asker
            assert grant.expires_at is not None
            assert grant.state_at(grant.expires_at) in (GrantState.EXPIRED, GrantState.REVOKED)
            assert grants.standing(grant, True, grant.expires_at) is not None


@given(
    start=st.integers(-60, 200), length=st.integers(1, 240), camera=st.sampled_from(["torget-1", "torget-2"]),
    action=st.sampled_from([Action.FOOTAGE_PLAYBACK, Action.FOOTAGE_LIVE]), person=st.sampled_from(PEOPLE),
    hours=st.integers(0, 9), closed=st.booleans(), revoked=st.booleans(),
)  # fmt: skip
def test_a_grant_gives_exactly_what_it_says(
    start: int, length: int, camera: str, action: Action, person: str, hours: int, closed: bool, revoked: bool
) -> None:
    """The decision agrees, question by question, with the plain reading of the grant."""
    issued = grants.approve(a_grant(), a_case(), "bea", NOW)
    grant = grants.revoke(issued, "bea", "done", NOW) if revoked else issued
    members = {"ks": {name: frozenset({Role.INVESTIGATOR}) for name in PEOPLE}}
    cameras = {("ks", "torget-1"), ("ks", "torget-2")}
    view = View(members, cameras, {"case_1": a_case(closed)}, {"grt_1": grant})
    question = Question(action, "ks", camera, span(start, start + length), "grt_1")
    decision = decide(view, lambda _action, _facts: True, Person(person), question, NOW + timedelta(hours=hours))
    expected = (
        (person, camera, action) == ("ada", "torget-1", Action.FOOTAGE_PLAYBACK)
        and start >= 0 and start + length <= 120 and hours < 8 and not closed and not revoked
    )  # fmt: skip
    assert decision.allowed is expected
    assert expected or decision.refusal is not None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"cameras": ()}, "cameras"),
        ({"cameras": ("a", "a")}, "cameras"),
        ({"actions": ()}, "actions"),
        ({"actions": ("footage.list",)}, "actions"),
        ({"interval": span(5, 5)}, "to"),
        ({"interval": span(0, 60 * 24 * 32)}, "to"),
        ({"valid_seconds": 7 * 86400 + 1}, "valid_seconds"),
        ({"valid_seconds": -1}, "valid_seconds"),
    ],
)
def test_a_wish_out_of_bounds_is_refused(changes: dict[str, Any], field: str) -> None:
    """Each bound of a request is held, and the refusal names the field."""
    with pytest.raises(RefusedError, match=field):
        a_grant(**changes)


def test_another_controllers_member_learns_nothing() -> None:
    """For a person without a role the answer is the same whether the controller exists or not."""
    view = View({"ks": {"ada": frozenset({Role.ADMIN})}})
    answers = {
        decide(view, lambda _action, _facts: True, Person("eve"), Question(Action.CAMERA_LIST, name), NOW)
        for name in ("ks", "nowhere")
    }
    assert [answer.refusal.reason for answer in answers if answer.refusal] == ["NOT_FOUND"]


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://10.0.0.5/stream",
        "rtsp://cam-1.example:8554/a/b?x=1",
        "rtsps://[2001:db8::1]:322/s",
        "rtsp://127.0.0.1:1",
    ],
)
def test_camera_addresses(address: str) -> None:
    """Addresses of cameras are taken as they are."""
    assert checked_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "", "rtsp://", "rtsp:///path", "http://camera/1", "rtsp://user@camera/1", "rtsp://user:pass@camera/1",
        "rtsp://camera:99999/1", "rtsp://camera:0/1", "rtsp://cam era/1", "rtsp://camera/1#x", "rtsp://camera/\n",
        "rtsp://kamera-å/1", "RTSP://user:hunter2@camera/1", "rtsp://[::1/1", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_addresses_that_are_refused(address: str) -> None:
    """Anything else is refused, and the message does not repeat a password."""
    with pytest.raises(RefusedError) as caught:
        checked_address(address)
    assert "hunter2" not in str(caught.value)
    assert "pass@" not in str(caught.value)


@given(text=st.one_of(st.text(max_size=80), st.from_regex(r"^[a-z0-9-]{1,66}$")))
def test_slugs_and_subjects_are_safe_in_subjects_and_keys(text: str) -> None:
    """What passes as a slug means nothing in a NATS subject; what passes as a person can be printed."""
    try:
        slug = checked_slug("controller", text)
    except RefusedError:
        pass
    else:
        assert not set(slug) & set(".*> \t\r\n/")
        assert slug != "platform"
    with suppress(RefusedError):
        assert checked_person(text).isprintable()
