"""`lykta controller`: the committees and companies that decide on surveillance."""

from typing import Annotated

import typer
from lykta.access_control.v1 import directory_service_pb2 as pb2
from lykta.access_control.v1 import directory_service_pb2_grpc as pb2_grpc

from lykta_standalone.cli.session import Session, add_command

_PEER = "access-control"


def register(application: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Controllers: list one's own, add (the platform's operator).", no_args_is_help=True)
    add_command(group, "list", list_controllers, ["lykta controller list --as anna"])
    add_command(group, "add", add, ["lykta controller add bun --name 'Barn- och ungdomsnämnden' --as drift"])
    application.add_typer(group, name="controller")


async def list_controllers(session: Session) -> None:
    """List the controllers one belongs to."""
    request = pb2.ControllerServiceListRequest()
    found = await session.ask(_PEER, pb2_grpc.ControllerServiceStub, "List", request)
    rows = ((item.controller, item.name) for item in found.controllers)
    session.show(found, ("controller", "name"), rows, "you belong to no controller")


async def add(
    session: Session,
    controller: Annotated[str, typer.Argument(help="Id: a-z, 0-9 and inner hyphens.")],
    name: Annotated[str, typer.Option(help="Name for people.")],
) -> None:
    """Add a controller; its first administrator is then named with `lykta member set`."""
    wanted = pb2.Controller(controller=controller, name=name)
    request = pb2.ControllerServiceCreateRequest(controller=wanted)
    found = await session.ask(_PEER, pb2_grpc.ControllerServiceStub, "Create", request)
    session.done(found, f"added {controller}; next: lykta member set PERSON --role admin --controller {controller}")
