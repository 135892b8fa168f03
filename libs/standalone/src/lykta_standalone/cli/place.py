"""`lykta place`: the places of a controller."""

from typing import Annotated

import typer
from lykta.access_control.v1 import directory_service_pb2 as pb2
from lykta.access_control.v1 import directory_service_pb2_grpc as pb2_grpc

from lykta_standalone.cli.options import Controller
from lykta_standalone.cli.session import Session, add_command

_PEER = "access-control"


def register(application: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Places: list, add.", no_args_is_help=True)
    add_command(group, "list", list_places, ["lykta place list --as karin"])
    add_command(
        group, "add", add,
        ["lykta place add stora-torget --name 'Stora torget' --problem 'violence at night' --as karin"],
    )  # fmt: skip
    application.add_typer(group, name="place")


async def list_places(session: Session, controller: Controller = "") -> None:
    """List the places of a controller."""
    request = pb2.PlaceServiceListRequest(controller=await session.controller(controller))
    found = await session.ask(_PEER, pb2_grpc.PlaceServiceStub, "List", request)
    rows = ((item.controller, item.place, item.name, item.problem, item.timezone) for item in found.places)
    session.show(found, ("controller", "place", "name", "problem", "time zone"), rows, "no places")


async def add(
    session: Session,
    place: Annotated[str, typer.Argument(help="Id: a-z, 0-9 and inner hyphens.")],
    name: Annotated[str, typer.Option(help="Name for people.")],
    problem: Annotated[str, typer.Option(help="The stated safety problem.")],
    timezone: Annotated[str, typer.Option(help="IANA time zone.")] = "Europe/Stockholm",
    controller: Controller = "",
) -> None:
    """Add a place."""
    wanted = pb2.Place(
        controller=await session.controller(controller), place=place, name=name, problem=problem, timezone=timezone
    )
    request = pb2.PlaceServiceCreateRequest(place=wanted)
    found = await session.ask(_PEER, pb2_grpc.PlaceServiceStub, "Create", request)
    session.done(found, f"added {found.place.controller}/{found.place.place}")
