"""`lykta camera`: the cameras of a controller."""

from typing import Annotated

import typer
from lykta.access_control.v1 import directory_service_pb2 as pb2
from lykta.access_control.v1 import directory_service_pb2_grpc as pb2_grpc
from lykta.ingest.v1 import session_service_pb2 as sessions
from lykta.ingest.v1 import session_service_pb2_grpc as sessions_grpc

from lykta_standalone.cli.failure import REFUSED
from lykta_standalone.cli.options import Controller
from lykta_standalone.cli.session import Session, add_command, time_of
from lykta_standalone.connection import connected

_PEER = "access-control"


def register(application: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Cameras: list, add, show, and what the recorder does with each.", no_args_is_help=True)
    add_command(group, "list", list_cameras, ["lykta camera list --as karin"])
    add_command(group, "show", show, ["lykta camera show tradgardstorget-1 --as karin"])
    add_command(
        group, "add", add,
        ["lykta camera add torget-9 --place tradgardstorget --name Torget --address rtsp://192.0.2.7/1 --as karin"],
    )  # fmt: skip
    add_command(group, "probe", probe, ["lykta camera probe rtsp://192.0.2.7/1 --credentials-ref hall"])
    add_command(group, "sessions", show_sessions, ["lykta camera sessions --as olle"])
    application.add_typer(group, name="camera")


async def list_cameras(session: Session, controller: Controller = "") -> None:
    """List the cameras of a controller."""
    request = pb2.CameraServiceListRequest(controller=await session.controller(controller))
    found = await session.ask(_PEER, pb2_grpc.CameraServiceStub, "List", request)
    rows = ((c.controller, c.camera, c.place, c.name, c.address, c.mandate_id or "none") for c in found.cameras)
    session.show(found, ("controller", "camera", "place", "name", "address", "mandate"), rows, "no cameras")


async def show(session: Session, camera: Annotated[str, typer.Argument()], controller: Controller = "") -> None:
    """Show one camera."""
    request = pb2.CameraServiceGetRequest(controller=await session.controller(controller), camera=camera)
    found = await session.ask(_PEER, pb2_grpc.CameraServiceStub, "Get", request)
    rows = [(field.name, value) for field, value in found.camera.ListFields() if field.name != "created_at"]
    rows.append(("created", time_of(found.camera.created_at)))
    session.show(found, ("field", "value"), rows, "no such camera")


async def add(
    session: Session,
    camera: Annotated[str, typer.Argument(help="Id: a-z, 0-9 and inner hyphens.")],
    place: Annotated[str, typer.Option(help="Id of its place.")],
    name: Annotated[str, typer.Option(help="Name for people.")],
    address: Annotated[str, typer.Option(help="rtsp:// address WITHOUT user and password.")],
    credentials_ref: Annotated[str, typer.Option(help="Name of its credentials in the recorder's secret file.")] = "",
    controller: Controller = "",
) -> None:
    """Add a camera. It records nothing until a mandate covers it."""
    wanted = pb2.Camera(
        controller=await session.controller(controller), camera=camera, place=place, name=name, address=address,
        credentials_ref=credentials_ref,
    )  # fmt: skip
    request = pb2.CameraServiceCreateRequest(camera=wanted)
    found = await session.ask(_PEER, pb2_grpc.CameraServiceStub, "Create", request)
    session.done(
        found, f"added {found.camera.controller}/{found.camera.camera}; a mandate must cover it before it records"
    )


async def probe(
    session: Session,
    address: Annotated[str, typer.Argument(help="rtsp:// address WITHOUT user and password.")],
    credentials_ref: Annotated[str, typer.Option(help="Name of its credentials in the recorder's secret file.")] = "",
) -> None:
    """Try an address before it is saved: connect, ask what it offers, record nothing. A development tool's right."""
    request = sessions.ProbeRequest(address=address, credentials_ref=credentials_ref)
    async with connected(session.platform, "test-tool") as tool:
        stub = await tool.stub(sessions_grpc.SessionServiceStub, "ingest")
        found = await tool.ask("", "ingest", stub.Probe, request, seconds=30.0)
    session.done(found, f"{'usable' if found.usable else 'NOT usable'}: {found.detail}")
    if not found.usable:
        raise typer.Exit(REFUSED)


async def show_sessions(session: Session) -> None:
    """Show what the recorder does with each camera."""
    found = await session.ask("ingest", sessions_grpc.SessionServiceStub, "List", sessions.ListRequest())
    rows = (
        (
            item.controller,
            item.camera,
            sessions.SessionState.Name(item.state).removeprefix("SESSION_STATE_").lower(),
            item.segments_uploaded,
            item.fragments_spooled,
            time_of(item.recorded_to),
            item.codec,
            item.detail,
        )
        for item in found.sessions
    )
    headings = ("controller", "camera", "state", "segments", "spooled", "recorded to", "codec", "detail")
    session.show(found, headings, rows, "the recorder knows no camera of yours")
