"""`lykta case`: the matters that give access a purpose."""

from typing import Annotated

import typer
from lykta.access_control.v1 import grant_service_pb2 as pb2
from lykta.access_control.v1 import grant_service_pb2_grpc as pb2_grpc

from lykta_standalone.cli.options import Controller
from lykta_standalone.cli.session import Session, add_command, time_of

_PEER = "access-control"
CaseId = Annotated[str, typer.Argument(metavar="CASE_ID")]


def register(application: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Cases: open, close, list.", no_args_is_help=True)
    add_command(group, "list", list_cases, ["lykta case list --as anna"])
    add_command(group, "open", open_case, ["lykta case open 0500-K1234-26 --purpose 'assault at the square' --as anna"])
    add_command(group, "close", close, ["lykta case close case_01… --as anna"])
    application.add_typer(group, name="case")


async def list_cases(session: Session, controller: Controller = "") -> None:
    """List the cases of a controller, newest first."""
    request = pb2.CaseServiceListRequest(controller=await session.controller(controller))
    found = await session.ask(_PEER, pb2_grpc.CaseServiceStub, "List", request)
    rows = (
        (item.case_id, item.reference, item.purpose, item.opened_by, time_of(item.opened_at), time_of(item.closed_at))
        for item in found.cases
    )
    session.show(found, ("case", "reference", "purpose", "opened by", "opened", "closed"), rows, "no cases")


async def open_case(
    session: Session,
    reference: Annotated[str, typer.Argument(help="Diary or police number.")],
    purpose: Annotated[str, typer.Option(help="Why footage is needed.")],
    controller: Controller = "",
) -> None:
    """Open a case."""
    request = pb2.CaseServiceOpenRequest(
        controller=await session.controller(controller), reference=reference, purpose=purpose
    )
    found = await session.ask(_PEER, pb2_grpc.CaseServiceStub, "Open", request)
    session.done(found, f"opened {found.case.case_id}; next: lykta grant request {found.case.case_id} --camera …")


async def close(session: Session, case_id: CaseId) -> None:
    """Close a case; every grant in it is revoked."""
    found = await session.ask(_PEER, pb2_grpc.CaseServiceStub, "Close", pb2.CaseServiceCloseRequest(case_id=case_id))
    session.done(found, f"closed {case_id}; its grants are revoked")
