"""Founds the demo municipality in a running platform, through the same calls and by the same people as anyone."""

from collections.abc import Mapping

from lykta.access_control.v1 import directory_service_pb2 as directory
from lykta.access_control.v1 import directory_service_pb2_grpc as directory_grpc
from lykta.access_control.v1 import mandate_service_pb2 as mandates
from lykta.access_control.v1 import mandate_service_pb2_grpc as mandates_grpc
from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError
from lykta_contracts.mandates import Analytic, MandateDocument

from lykta_standalone.connection import Connection
from lykta_standalone.environment import PLATFORM_OPERATOR
from lykta_standalone.municipality import CONTROLLERS, PEOPLE, DemoController, DemoPlace, demo_document, document, zone
from lykta_standalone.real_camera import RealCamera

_PEER = "access-control"


class Founder:
    """Creates what is missing and leaves what is there; safe to run at every start."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    async def found(self, addresses: Mapping[str, str]) -> None:
        """Found every controller with the cameras that have an address (camera → rtsp:// address)."""
        for owner in CONTROLLERS:
            await self._found_controller(owner)
            known = await self._cameras(owner.admin, owner.controller)
            for place in owner.places:
                await self._found_place(owner, place)
                for camera in place.cameras:
                    if camera.camera in addresses and camera.camera not in known:
                        address = addresses[camera.camera]
                        real = RealCamera(camera.camera, address, camera.camera)
                        await self._add_camera(owner, place.place, real, camera.name)
                    if camera.camera in addresses:
                        text = demo_document(owner.controller, place, camera, self._clock.now())
                        await self._mandate(owner, text)

    async def add_real(self, cameras: tuple[RealCamera, ...]) -> None:
        """Add cameras from the command line to the first controller, under a mandate of the demo people."""
        owner = CONTROLLERS[0]
        place = DemoPlace("egna-kameror", "Egna kameror", "trying out a camera of one's own", ())
        if not cameras:
            return
        await self._found_place(owner, place)
        known = await self._cameras(owner.admin, owner.controller)
        whole = zone("hela-bilden", ((0, 0), (1, 0), (1, 1), (0, 1)))
        anywhere = (Analytic(detector="person-in-zone", zones=(whole,), quiet_seconds=2.0),)
        for camera in cameras:
            if camera.name not in known:
                await self._add_camera(owner, place.place, camera, camera.name)
            now = self._clock.now()
            text = document(owner.controller, place.place, camera.name, now, purpose=place.problem, analytics=anywhere)
            await self._mandate(owner, text)

    async def _found_controller(self, owner: DemoController) -> None:
        stub = await self._connection.stub(directory_grpc.ControllerServiceStub, _PEER)
        mine = await self._connection.ask(owner.admin, _PEER, stub.List, directory.ControllerServiceListRequest())
        if owner.controller not in {item.controller for item in mine.controllers}:
            wanted = directory.Controller(controller=owner.controller, name=owner.name)
            request = directory.ControllerServiceCreateRequest(controller=wanted)
            try:
                await self._connection.ask(PLATFORM_OPERATOR, _PEER, stub.Create, request)
            except PlatformError as error:
                if error.code is not Code.ALREADY_EXISTS:
                    raise
            # The platform's operator names the first administrator, who names everyone else.
            await self._set_member(PLATFORM_OPERATOR, owner.controller, owner.admin)
        members = await self._members(owner)
        for name, person in PEOPLE.items():
            if person.controller == owner.controller and name not in members:
                await self._set_member(owner.admin, owner.controller, name)

    async def _members(self, owner: DemoController) -> set[str]:
        stub = await self._connection.stub(directory_grpc.MemberServiceStub, _PEER)
        request = directory.MemberServiceListRequest(controller=owner.controller)
        listed = await self._connection.ask(owner.admin, _PEER, stub.List, request)
        return {member.person_id for member in listed.members}

    async def _set_member(self, by: str, controller: str, name: str) -> None:
        stub = await self._connection.stub(directory_grpc.MemberServiceStub, _PEER)
        roles = [role.value for role in PEOPLE[name].roles]
        member = directory.Member(controller=controller, person_id=name, roles=roles)
        await self._connection.ask(by, _PEER, stub.Set, directory.MemberServiceSetRequest(member=member))

    async def _found_place(self, owner: DemoController, place: DemoPlace) -> None:
        stub = await self._connection.stub(directory_grpc.PlaceServiceStub, _PEER)
        listed = await self._connection.ask(
            owner.admin, _PEER, stub.List, directory.PlaceServiceListRequest(controller=owner.controller)
        )
        if place.place in {item.place for item in listed.places}:
            return
        wanted = directory.Place(
            controller=owner.controller, place=place.place, name=place.name, problem=place.problem,
            timezone="Europe/Stockholm",
        )  # fmt: skip
        await self._connection.ask(owner.admin, _PEER, stub.Create, directory.PlaceServiceCreateRequest(place=wanted))

    async def _cameras(self, person: str, controller: str) -> set[str]:
        stub = await self._connection.stub(directory_grpc.CameraServiceStub, _PEER)
        request = directory.CameraServiceListRequest(controller=controller)
        listed = await self._connection.ask(person, _PEER, stub.List, request)
        return {item.camera for item in listed.cameras}

    async def _add_camera(self, owner: DemoController, place: str, camera: RealCamera, title: str) -> None:
        stub = await self._connection.stub(directory_grpc.CameraServiceStub, _PEER)
        wanted = directory.Camera(
            controller=owner.controller, camera=camera.name, place=place, name=title, address=camera.address,
            credentials_ref=camera.credentials_ref,
        )  # fmt: skip
        await self._connection.ask(owner.admin, _PEER, stub.Create, directory.CameraServiceCreateRequest(camera=wanted))

    async def _mandate(self, owner: DemoController, text: MandateDocument) -> None:
        """Draft and propose by the administrator, approve by a second person; none when one was ever there."""
        stub = await self._connection.stub(mandates_grpc.MandateServiceStub, _PEER)
        ask, admin = self._connection.ask, owner.admin
        listed = await ask(admin, _PEER, stub.List, mandates.MandateServiceListRequest(controller=owner.controller))
        for known in listed.mandates:
            if set(text.cameras) & set(MandateDocument.from_json(known.document_json).cameras):
                return
        draft = mandates.MandateServiceDraftRequest(controller=owner.controller, document_json=text.to_json().decode())
        mandate_id = (await ask(admin, _PEER, stub.Draft, draft)).mandate.mandate_id
        await ask(admin, _PEER, stub.Propose, mandates.MandateServiceProposeRequest(mandate_id=mandate_id))
        await ask(owner.approver, _PEER, stub.Approve, mandates.MandateServiceApproveRequest(mandate_id=mandate_id))
