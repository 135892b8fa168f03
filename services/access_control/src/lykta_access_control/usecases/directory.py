"""Controllers, places, cameras and members: who adds and who sees them."""

from dataclasses import replace

from lykta_contracts.ids import is_slug
from lykta_contracts.instants import to_ms
from lykta_contracts.roles import Action, Role

from lykta_access_control.access import Access, Call
from lykta_access_control.domain.decision import Question
from lykta_access_control.domain.directory import (
    Camera,
    Controller,
    Member,
    Place,
    checked_address,
    checked_credentials_ref,
    checked_person,
    checked_roles,
    checked_slug,
    checked_text,
    checked_timezone,
)
from lykta_access_control.domain.refusal import RefusedError, invalid, not_found, wrong_state
from lykta_access_control.store.change import Store


class Directory:
    """The RPCs of ControllerService, PlaceService, CameraService and MemberService."""

    def __init__(self, access: Access, store: Store) -> None:
        self._access = access
        self._store = store

    async def create_controller(self, call: Call, controller: Controller) -> Controller:
        """Add a controller, by a platform operator; the same one again changes nothing."""
        async with self._access.attempt(call, Action.CONTROLLER_CREATE) as attempt:
            await self._access.require_operator(attempt)
            slug = checked_slug("controller", controller.controller)
            new = Controller(slug, checked_text("name", controller.name))
            attempt.target, attempt.controller = f"controller/{slug}", slug
            async with self._store.change() as change:
                old = await change.directory.controller(slug)
                if old is None:
                    person_id = attempt.person.person_id
                    await change.directory.add_controller(new, person_id, to_ms(change.now))
                    await change.audit(attempt.record(f"controller.create/{slug}", change.now))
                elif old != new:
                    raise _exists(f"controller {slug}")
            return new

    async def list_controllers(self, call: Call) -> list[Controller]:
        """Return the calling person's controllers; a platform operator sees every one."""
        async with self._access.attempt(call, Action.CAMERA_LIST) as attempt:
            mine = (await self._access.view()).controllers_of(attempt.person.person_id)
            async with self._store.reading() as rows:
                every = await rows.directory.controllers()
            return [c for c in every if attempt.person.operator or c.controller in mine]

    async def create_place(self, call: Call, place: Place) -> Place:
        """Add a place, by an administrator; the same one again changes nothing."""
        async with self._access.attempt(call, Action.PLACE_CREATE) as attempt:
            await self._access.require(attempt, Question(Action.PLACE_CREATE, place.controller))
            slug = checked_slug("place", place.place)
            name, problem = checked_text("name", place.name), checked_text("problem", place.problem, needed=False)
            new = Place(place.controller, slug, name, problem, checked_timezone(place.timezone))
            attempt.target = f"place/{new.controller}/{slug}"
            async with self._store.change() as change:
                old = await change.directory.place(new.controller, slug)
                if old is None:
                    await change.directory.add_place(new)
                    await change.audit(attempt.record(f"place.create/{new.controller}/{slug}", change.now))
                elif old != new:
                    raise _exists(f"place {slug}")
            return new

    async def list_places(self, call: Call, controller: str) -> list[Place]:
        """Return the places of a controller."""
        async with self._access.attempt(call, Action.PLACE_LIST) as attempt:
            await self._access.require(attempt, Question(Action.PLACE_LIST, controller))
            async with self._store.reading() as rows:
                return await rows.directory.places(controller)

    async def create_camera(self, call: Call, camera: Camera) -> Camera:
        """Add a camera, by an administrator; the same one again changes nothing. It records nothing by that."""
        async with self._access.attempt(call, Action.CAMERA_CREATE) as attempt:
            await self._access.require(attempt, Question(Action.CAMERA_CREATE, camera.controller))
            new = _checked(camera)
            attempt.target = f"camera/{new.controller}/{new.camera}"
            async with self._store.change() as change:
                if await change.directory.place(new.controller, new.place) is None:
                    raise invalid(f"place {new.place!r} does not exist in this controller; add it first")
                old = await change.directory.camera(new.controller, new.camera)
                if old is None:
                    new = replace(new, created_at=change.now)
                    await change.directory.add_camera(new)
                    await change.audit(attempt.record(f"camera.create/{new.controller}/{new.camera}", change.now))
                    return new
                if old != replace(new, created_at=old.created_at, mandate_id=old.mandate_id):
                    raise _exists(f"camera {new.camera}")
            return old

    async def get_camera(self, call: Call, controller: str, camera: str) -> Camera:
        """Return one camera."""
        async with self._access.attempt(call, Action.CAMERA_LIST, "camera") as attempt:
            await self._access.require(attempt, Question(Action.CAMERA_LIST, controller), "camera")
            async with self._store.reading() as rows:
                found = await rows.directory.camera(controller, camera) if is_slug(camera) else None
            if found is None:
                raise not_found("the camera")
            return found

    async def list_cameras(self, call: Call, controller: str) -> list[Camera]:
        """Return the cameras of a controller."""
        async with self._access.attempt(call, Action.CAMERA_LIST) as attempt:
            await self._access.require(attempt, Question(Action.CAMERA_LIST, controller))
            async with self._store.reading() as rows:
                return await rows.directory.cameras(controller)

    async def set_member(self, call: Call, controller: str, person_id: str, roles: list[str]) -> Member:
        """Give a person exactly these roles; the last administrator stays one. The same roles again change nothing."""
        async with self._access.attempt(call, Action.MEMBER_SET) as attempt:
            first = roles == [Role.ADMIN.value] and not _has_admin((await self._access.view()).members.get(controller))
            await self._access.require(attempt, Question(Action.MEMBER_SET, controller, first_admin=first))
            member = Member(controller, checked_person(person_id), checked_roles(roles))
            attempt.target = f"member/{controller}"
            attempt.details = {"person_id": person_id, "roles": " ".join(sorted(member.roles))}
            async with self._store.change() as change:
                present = {m.person_id: m.roles for m in await change.directory.members(controller)}
                if attempt.person.person_id not in present and _has_admin(present):
                    raise RefusedError("ROLE", "the controller has an administrator by now; ask that person")
                if present.get(person_id, frozenset()) != member.roles:
                    if _has_admin(present) and not _has_admin(present | {person_id: member.roles}):
                        raise wrong_state("a controller keeps at least one administrator; name another one first")
                    await change.directory.set_member(member)
                    await change.audit(attempt.record(f"member.set/{controller}/{change.revision}", change.now))
            return member

    async def list_members(self, call: Call, controller: str) -> list[Member]:
        """Return everyone with a role in a controller."""
        async with self._access.attempt(call, Action.MEMBER_LIST) as attempt:
            await self._access.require(attempt, Question(Action.MEMBER_LIST, controller))
            async with self._store.reading() as rows:
                return await rows.directory.members(controller)


def _has_admin(members: dict[str, frozenset[Role]] | None) -> bool:
    return any(Role.ADMIN in roles for roles in (members or {}).values())


def _checked(camera: Camera) -> Camera:
    return replace(
        camera,
        camera=checked_slug("camera", camera.camera),
        place=checked_slug("place", camera.place),
        name=checked_text("name", camera.name),
        address=checked_address(camera.address),
        credentials_ref=checked_credentials_ref(camera.credentials_ref),
        mandate_id="",
    )


def _exists(what: str) -> RefusedError:
    return RefusedError("CONFLICT", f"{what} exists already with other content; choose another slug")
