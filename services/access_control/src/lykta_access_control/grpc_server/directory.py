"""ControllerService, PlaceService, CameraService and MemberService."""

from datetime import UTC, datetime

from lykta.access_control.v1 import directory_service_pb2 as pb
from lykta.access_control.v1 import directory_service_pb2_grpc as rpc

from lykta_access_control.domain.directory import Camera, Controller, Member, Place
from lykta_access_control.grpc_server.calls import Context, call_of, to_timestamp
from lykta_access_control.usecases.directory import Directory

_UNSET = datetime(1970, 1, 1, tzinfo=UTC)


class ControllerServicer(rpc.ControllerServiceServicer):
    """Controllers."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def Create(
        self, request: pb.ControllerServiceCreateRequest, context: Context
    ) -> pb.ControllerServiceCreateResponse:
        """Add a controller."""
        wanted = Controller(request.controller.controller, request.controller.name)
        kept = await self._directory.create_controller(call_of(context), wanted)
        return pb.ControllerServiceCreateResponse(controller=_controller(kept))

    async def List(
        self, _request: pb.ControllerServiceListRequest, context: Context
    ) -> pb.ControllerServiceListResponse:
        """Show the person's controllers."""
        found = await self._directory.list_controllers(call_of(context))
        return pb.ControllerServiceListResponse(controllers=[_controller(one) for one in found])


class PlaceServicer(rpc.PlaceServiceServicer):
    """Places."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def Create(self, request: pb.PlaceServiceCreateRequest, context: Context) -> pb.PlaceServiceCreateResponse:
        """Add a place."""
        sent = request.place
        wanted = Place(sent.controller, sent.place, sent.name, sent.problem, sent.timezone)
        kept = await self._directory.create_place(call_of(context), wanted)
        return pb.PlaceServiceCreateResponse(place=_place(kept))

    async def List(self, request: pb.PlaceServiceListRequest, context: Context) -> pb.PlaceServiceListResponse:
        """Show the places of a controller."""
        found = await self._directory.list_places(call_of(context), request.controller)
        return pb.PlaceServiceListResponse(places=[_place(one) for one in found])


class CameraServicer(rpc.CameraServiceServicer):
    """Cameras."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def Create(self, request: pb.CameraServiceCreateRequest, context: Context) -> pb.CameraServiceCreateResponse:
        """Add a camera."""
        sent = request.camera
        wanted = Camera(
            sent.controller, sent.camera, sent.place, sent.name, sent.address, sent.credentials_ref, created_at=_UNSET
        )
        kept = await self._directory.create_camera(call_of(context), wanted)
        return pb.CameraServiceCreateResponse(camera=_camera(kept))

    async def Get(self, request: pb.CameraServiceGetRequest, context: Context) -> pb.CameraServiceGetResponse:
        """Show one camera."""
        found = await self._directory.get_camera(call_of(context), request.controller, request.camera)
        return pb.CameraServiceGetResponse(camera=_camera(found))

    async def List(self, request: pb.CameraServiceListRequest, context: Context) -> pb.CameraServiceListResponse:
        """Show the cameras of a controller."""
        found = await self._directory.list_cameras(call_of(context), request.controller)
        return pb.CameraServiceListResponse(cameras=[_camera(one) for one in found])


class MemberServicer(rpc.MemberServiceServicer):
    """Members."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def Set(self, request: pb.MemberServiceSetRequest, context: Context) -> pb.MemberServiceSetResponse:
        """Give a person exactly these roles."""
        sent = request.member
        kept = await self._directory.set_member(call_of(context), sent.controller, sent.person_id, list(sent.roles))
        return pb.MemberServiceSetResponse(member=_member(kept))

    async def List(self, request: pb.MemberServiceListRequest, context: Context) -> pb.MemberServiceListResponse:
        """Show the members of a controller."""
        found = await self._directory.list_members(call_of(context), request.controller)
        return pb.MemberServiceListResponse(members=[_member(one) for one in found])


def _controller(one: Controller) -> pb.Controller:
    return pb.Controller(controller=one.controller, name=one.name)


def _place(one: Place) -> pb.Place:
    return pb.Place(
        controller=one.controller, place=one.place, name=one.name, problem=one.problem, timezone=one.timezone
    )


def _camera(one: Camera) -> pb.Camera:
    return pb.Camera(
        controller=one.controller,
        camera=one.camera,
        place=one.place,
        name=one.name,
        address=one.address,
        credentials_ref=one.credentials_ref,
        created_at=to_timestamp(one.created_at),
        mandate_id=one.mandate_id,
    )


def _member(one: Member) -> pb.Member:
    return pb.Member(controller=one.controller, person_id=one.person_id, roles=sorted(one.roles))
