"""Rows of controllers, places, cameras and members."""

import json
from collections.abc import Sequence
from typing import Any

from lykta_contracts.instants import from_ms, to_ms
from lykta_contracts.roles import Role
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from lykta_access_control.domain.directory import Camera, Controller, Member, Place
from lykta_access_control.store import tables as t


class DirectoryRows:
    """The directory within one connection; what is written carries the change's revision."""

    def __init__(self, connection: AsyncConnection, revision: int = 0) -> None:
        self._connection = connection
        self._revision = revision

    async def controller(self, controller: str) -> Controller | None:
        """Return a controller by its slug."""
        row = await self._one(select(t.controllers).where(t.controllers.c.controller == controller))
        return Controller(row.controller, row.name) if row else None

    async def controllers(self) -> list[Controller]:
        """Return every controller, by slug."""
        rows = await self._all(select(t.controllers).order_by(t.controllers.c.controller))
        return [Controller(row.controller, row.name) for row in rows]

    async def add_controller(self, controller: Controller, person_id: str, at_ms: int) -> None:
        """Write a new controller."""
        values = {"controller": controller.controller, "name": controller.name, "created_by": person_id}
        await self._connection.execute(
            insert(t.controllers).values(**values, created_at=at_ms, revision=self._revision)
        )

    async def place(self, controller: str, place: str) -> Place | None:
        """Return a place by its slug."""
        row = await self._one(select(t.places).where(t.places.c.controller == controller, t.places.c.place == place))
        return _place(row) if row else None

    async def places(self, controller: str) -> list[Place]:
        """Return every place of a controller, by slug."""
        query = select(t.places).where(t.places.c.controller == controller).order_by(t.places.c.place)
        return [_place(row) for row in await self._all(query)]

    async def add_place(self, place: Place) -> None:
        """Write a new place."""
        values = {"controller": place.controller, "place": place.place, "name": place.name}
        await self._connection.execute(
            insert(t.places).values(**values, problem=place.problem, timezone=place.timezone)
        )

    async def camera(self, controller: str, camera: str) -> Camera | None:
        """Return a camera by its slug, with the mandate in force."""
        row = await self._one(_cameras().where(t.cameras.c.controller == controller, t.cameras.c.camera == camera))
        return _camera(row) if row else None

    async def cameras(self, controller: str) -> list[Camera]:
        """Return every camera of a controller, by slug, each with the mandate in force."""
        query = _cameras().where(t.cameras.c.controller == controller).order_by(t.cameras.c.camera)
        return [_camera(row) for row in await self._all(query)]

    async def add_camera(self, camera: Camera) -> None:
        """Write a new camera."""
        await self._connection.execute(
            insert(t.cameras).values(
                controller=camera.controller,
                camera=camera.camera,
                place=camera.place,
                name=camera.name,
                address=camera.address,
                credentials_ref=camera.credentials_ref,
                created_at=to_ms(camera.created_at),
                revision=self._revision,
            )
        )

    async def member(self, controller: str, person_id: str) -> Member | None:
        """Return a member; one who left has no roles."""
        row = await self._one(
            select(t.members).where(t.members.c.controller == controller, t.members.c.person_id == person_id)
        )
        return _member(row) if row else None

    async def members(self, controller: str) -> list[Member]:
        """Return everyone with a role in a controller, by subject."""
        query = select(t.members).where(t.members.c.controller == controller).order_by(t.members.c.person_id)
        return [member for row in await self._all(query) if (member := _member(row)).roles]

    async def set_member(self, member: Member) -> None:
        """Write a member's roles."""
        values = {"roles": json.dumps(sorted(member.roles)), "revision": self._revision}
        mine = (t.members.c.controller == member.controller, t.members.c.person_id == member.person_id)
        done = await self._connection.execute(update(t.members).where(*mine).values(**values))
        if done.rowcount == 0:
            await self._connection.execute(
                insert(t.members).values(controller=member.controller, person_id=member.person_id, **values)
            )

    async def _one(self, query: Any) -> Any:
        return (await self._connection.execute(query)).one_or_none()

    async def _all(self, query: Any) -> Sequence[Any]:
        return (await self._connection.execute(query)).all()


def _cameras() -> Any:
    live = t.orders.c.status == "live"
    same = (t.orders.c.controller == t.cameras.c.controller) & (t.orders.c.camera == t.cameras.c.camera)
    return select(t.cameras, t.orders.c.mandate_id).select_from(t.cameras.outerjoin(t.orders, same & live))


def _camera(row: Any) -> Camera:
    return Camera(
        row.controller,
        row.camera,
        row.place,
        row.name,
        row.address,
        row.credentials_ref,
        from_ms(row.created_at),
        row.mandate_id or "",
    )


def _place(row: Any) -> Place:
    return Place(row.controller, row.place, row.name, row.problem, row.timezone)


def _member(row: Any) -> Member:
    return Member(row.controller, row.person_id, frozenset(Role(name) for name in json.loads(row.roles)))
