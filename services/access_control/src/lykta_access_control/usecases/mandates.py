"""Mandates: drafted, proposed, approved by a second person, signed to the recorders, ended."""

from datetime import datetime
from typing import Literal

from lykta_common.clock import Clock
from lykta_common.ids import new_id
from lykta_common.signing import Signer
from lykta_contracts.events import ApprovalGiven, MandateApproved, MandateEnded
from lykta_contracts.ids import is_slug
from lykta_contracts.instants import to_ms
from lykta_contracts.mandates import MANDATE_ORDER_TYPE, MandateDocument, MandateOrder
from lykta_contracts.roles import Action
from pydantic import ValidationError

from lykta_access_control.access import Access, Attempt, Call
from lykta_access_control.domain import mandates as steps
from lykta_access_control.domain.decision import Question
from lykta_access_control.domain.directory import checked_text
from lykta_access_control.domain.mandates import Mandate, MandateState
from lykta_access_control.domain.refusal import invalid, not_found, wrong_state
from lykta_access_control.store.change import Change, Store
from lykta_access_control.store.mandate_rows import OrderRow

LARGEST_DOCUMENT = 262_144


class Mandates:
    """The RPCs of MandateService; orders are signed within the approval and leave by the relay."""

    def __init__(self, access: Access, store: Store, signer: Signer, clock: Clock) -> None:
        self._access = access
        self._store = store
        self._signer = signer
        self._clock = clock

    async def draft(self, call: Call, controller: str, document_json: str, mandate_id: str) -> Mandate:
        """Write a draft: a new mandate, the open draft again, or a new version of an approved or ended mandate."""
        async with self._access.attempt(call, Action.MANDATE_DRAFT, _target(mandate_id)) as attempt:
            owner = await self._access.mandate_controller(mandate_id) if mandate_id else controller
            what = "mandate" if mandate_id else "controller"
            await self._access.require(attempt, Question(Action.MANDATE_DRAFT, owner), what)
            if controller != owner:
                raise invalid("controller is not the mandate's; a mandate stays with its controller")
            document = _document(document_json, controller)
            async with self._store.change() as change:
                await _check_places(change, document)
                versions = await change.mandates.versions(mandate_id) if mandate_id else []
                person = attempt.person.person_id
                if versions and versions[0].state in (MandateState.DRAFT, MandateState.PROPOSED):
                    mandate = steps.redraft(versions[0], document, person)
                    if mandate is versions[0]:
                        return mandate
                    await change.mandates.save(versions[0], mandate)
                else:
                    number = versions[0].version + 1 if versions else 1
                    mandate = steps.draft(mandate_id or new_id("man", self._clock), number, document, person)
                    await change.mandates.add(mandate)
                await _log(change, attempt, mandate, f"/{mandate.drafts}")
            return mandate

    async def propose(self, call: Call, mandate_id: str) -> Mandate:
        """Freeze the open draft and ask for approval."""
        async with self._access.attempt(call, Action.MANDATE_PROPOSE, _target(mandate_id)) as attempt:
            await self._require(attempt, Action.MANDATE_PROPOSE, mandate_id)
            async with self._store.change() as change:
                old = (await _versions(change, mandate_id))[0]
                new = steps.propose(old, attempt.person.person_id)
                if new is not old:
                    await change.mandates.save(old, new)
                    await _log(change, attempt, new)
            return new

    async def approve(self, call: Call, mandate_id: str) -> Mandate:
        """Approve the proposed version as a second person; it is signed and replaces the version in force."""
        async with self._access.attempt(call, Action.MANDATE_APPROVE, _target(mandate_id)) as attempt:
            await self._require(attempt, Action.MANDATE_APPROVE, mandate_id)
            async with self._store.change() as change:
                versions = await _versions(change, mandate_id)
                old = versions[0]
                new = steps.approve(old, attempt.person.person_id, change.now)
                if new is old:
                    return new
                before = next((v for v in versions if v.state is MandateState.APPROVED), None)
                await _check_free(change, new)
                if before is not None:
                    await self._replace(change, before, new)
                    attempt.details = {"replaces_version": str(before.version)}
                await change.mandates.save(old, new)
                for camera in new.document.cameras:
                    await self._order(change, new.document, camera, "live")
                await _state_approval(change, new)
                await _log(change, attempt, new)
            return new

    async def end(self, call: Call, mandate_id: str, reason: str) -> Mandate:
        """End the version in force, or withdraw the open one when none is; recording stops. Again changes nothing."""
        async with self._access.attempt(call, Action.MANDATE_END, _target(mandate_id)) as attempt:
            await self._require(attempt, Action.MANDATE_END, mandate_id)
            why = checked_text("reason", reason)
            async with self._store.change() as change:
                versions = await _versions(change, mandate_id)
                old = next((v for v in versions if v.state is MandateState.APPROVED), versions[0])
                new = steps.end(old, attempt.person.person_id, why, change.now)
                if new is old:
                    return new
                await change.mandates.save(old, new)
                if old.state is MandateState.APPROVED:
                    await self._state_end(change, new, new.document.cameras)
                attempt.details = {"reason": why}
                await _log(change, attempt, new)
            return new

    async def get(self, call: Call, mandate_id: str) -> Mandate:
        """Return the newest version of a mandate."""
        async with self._access.attempt(call, Action.MANDATE_LIST, _target(mandate_id)) as attempt:
            await self._require(attempt, Action.MANDATE_LIST, mandate_id)
            async with self._store.reading() as rows:
                return (await rows.mandates.versions(mandate_id))[0]

    async def list(self, call: Call, controller: str) -> list[Mandate]:
        """Return the mandates of a controller, every version, newest first."""
        async with self._access.attempt(call, Action.MANDATE_LIST) as attempt:
            await self._access.require(attempt, Question(Action.MANDATE_LIST, controller))
            async with self._store.reading() as rows:
                return await rows.mandates.of(controller)

    async def _require(self, attempt: Attempt, action: Action, mandate_id: str) -> None:
        controller = await self._access.mandate_controller(mandate_id)
        await self._access.require(attempt, Question(action, controller), "mandate")

    async def _replace(self, change: Change, before: Mandate, new: Mandate) -> None:
        why = f"replaced by version {new.version}"
        ended = steps.end(before, new.approved_by, why, change.now)
        await change.mandates.save(before, ended)
        if dropped := steps.dropped_cameras(before, new):
            await self._state_end(change, ended, dropped)

    async def _state_end(self, change: Change, ended: Mandate, cameras: tuple[str, ...]) -> None:
        for camera in cameras:
            await self._order(change, ended.document, camera, "ended")
        fact = MandateEnded(
            controller=ended.controller,
            mandate_id=ended.mandate_id,
            cameras=cameras,
            ended_by=ended.ended_by,
            reason=ended.end_reason,
        )
        await change.state(fact, f"mandate.ended/{ended.mandate_id}/{ended.version}")

    async def _order(
        self, change: Change, document: MandateDocument, camera: str, status: Literal["live", "ended"]
    ) -> None:
        device = await change.directory.camera(document.controller, camera)
        if device is None:
            raise invalid(f"camera {camera!r} does not exist in this controller")
        last = await change.mandates.order(document.controller, camera)
        serial = next_serial(last.serial if last else 0, change.now)
        order = MandateOrder(
            controller=document.controller,
            camera=camera,
            serial=serial,
            status=status,
            mandate=document,
            camera_address=device.address,
            credentials_ref=device.credentials_ref,
            issued_at=change.now,
        )
        envelope = self._signer.sign(MANDATE_ORDER_TYPE, order.to_json())
        row = OrderRow(document.controller, camera, serial, status, document.mandate_id, envelope)
        await change.mandates.put_order(row)


def next_serial(last: int, now: datetime) -> int:
    """Return a serial above the last one: unix milliseconds, so that it also rises over a database restored older."""
    return max(last + 1, to_ms(now))


def _document(text: str, controller: str) -> MandateDocument:
    if len(text.encode()) > LARGEST_DOCUMENT:
        raise invalid(f"document_json is larger than {LARGEST_DOCUMENT} bytes")
    try:
        document = MandateDocument.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise invalid(f"document_json: {where + ': ' if where else ''}{first['msg']}") from error
    if document.controller != controller:
        raise invalid("document_json: controller is not the one of the request")
    return document


async def _check_places(change: Change, document: MandateDocument) -> None:
    """Refuse a document about places or cameras that are not there, or in another time zone than its place."""
    place = await change.directory.place(document.controller, document.place)
    if place is None:
        raise invalid(f"document_json: place {document.place!r} does not exist in this controller; add it first")
    if document.hours.timezone != place.timezone:
        raise invalid(f"document_json: hours.timezone must be the place's, {place.timezone}")
    for name in document.cameras:
        camera = await change.directory.camera(document.controller, name) if is_slug(name) else None
        if camera is None:
            raise invalid(f"document_json: camera {name!r} does not exist in this controller; add it first")
        if camera.place != document.place:
            raise invalid(f"document_json: camera {name!r} is at {camera.place!r}, not at {document.place!r}")


async def _check_free(change: Change, mandate: Mandate) -> None:
    """Refuse to take a camera over from another mandate: one live mandate for each camera."""
    for name in mandate.document.cameras:
        camera = await change.directory.camera(mandate.controller, name)
        if camera is not None and camera.mandate_id not in ("", mandate.mandate_id):
            raise wrong_state(
                f"camera {name!r} is under mandate {camera.mandate_id}; end that one, or draft a new version of it"
            )


async def _state_approval(change: Change, mandate: Mandate) -> None:
    approved = MandateApproved(
        controller=mandate.controller,
        mandate_id=mandate.mandate_id,
        version=mandate.version,
        cameras=mandate.document.cameras,
        approved_by=mandate.approved_by,
    )
    given = ApprovalGiven(
        controller=mandate.controller, kind="mandate", subject_id=mandate.mandate_id, approved_by=mandate.approved_by
    )
    await change.state(approved, f"mandate.approved/{mandate.mandate_id}/{mandate.version}")
    await change.state(given, f"approval.given/{mandate.mandate_id}/{mandate.version}")


async def _versions(change: Change, mandate_id: str) -> list[Mandate]:
    versions = await change.mandates.versions(mandate_id)
    if not versions:
        raise not_found("the mandate")
    return versions


async def _log(change: Change, attempt: Attempt, mandate: Mandate, step: str = "") -> None:
    attempt.target = f"{_target(mandate.mandate_id)}/{mandate.version}"
    entry_id = f"{attempt.action}/{mandate.mandate_id}/{mandate.version}{step}"
    await change.audit(attempt.record(entry_id, change.now))


def _target(mandate_id: str) -> str:
    return f"mandate/{mandate_id[:64]}" if mandate_id else "mandate"
