"""`lykta member`: who has which role in a controller."""

from typing import Annotated

import typer
from lykta.access_control.v1 import directory_service_pb2 as pb2
from lykta.access_control.v1 import directory_service_pb2_grpc as pb2_grpc
from lykta_contracts.roles import Role

from lykta_standalone.cli.options import Controller
from lykta_standalone.cli.session import Session, add_command

_PEER = "access-control"


def register(application: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Members: list, set (exactly these roles; none removes).", no_args_is_help=True)
    add_command(group, "list", list_members, ["lykta member list --as karin"])
    add_command(group, "set", set_roles, ["lykta member set olle --role operator --role technician --as karin"])
    application.add_typer(group, name="member")


async def list_members(session: Session, controller: Controller = "") -> None:
    """List the members of a controller and their roles."""
    request = pb2.MemberServiceListRequest(controller=await session.controller(controller))
    found = await session.ask(_PEER, pb2_grpc.MemberServiceStub, "List", request)
    rows = ((item.controller, item.person_id, ", ".join(item.roles)) for item in found.members)
    session.show(found, ("controller", "person", "roles"), rows, "no members")


async def set_roles(
    session: Session,
    person: Annotated[str, typer.Argument(help="OIDC subject.")],
    role: Annotated[list[Role] | None, typer.Option(help="Role; may be given several times.")] = None,
    controller: Controller = "",
) -> None:
    """Give a person exactly these roles; none removes the person."""
    roles = [item.value for item in role or []]
    member = pb2.Member(controller=await session.controller(controller), person_id=person, roles=roles)
    request = pb2.MemberServiceSetRequest(member=member)
    found = await session.ask(_PEER, pb2_grpc.MemberServiceStub, "Set", request)
    session.done(found, f"{person} has in {member.controller}: {', '.join(roles) or 'no role (removed)'}")
