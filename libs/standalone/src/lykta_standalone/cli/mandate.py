"""`lykta mandate`: the documented decisions behind each surveillance."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from lykta.access_control.v1 import mandate_service_pb2 as pb2
from lykta.access_control.v1 import mandate_service_pb2_grpc as pb2_grpc
from lykta_contracts.mandates import LegalGround, MandateDocument

from lykta_standalone.cli.failure import UsageError
from lykta_standalone.cli.options import Controller, Reason
from lykta_standalone.cli.session import Session, add_command, time_of

_PEER = "access-control"
MandateId = Annotated[str, typer.Argument(metavar="MANDATE_ID")]


def register(application: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Mandates: draft, propose, approve (a second person), end.", no_args_is_help=True)
    add_command(group, "list", list_mandates, ["lykta mandate list --as karin"])
    add_command(group, "show", show, ["lykta mandate show man_01… --as karin"])
    add_command(group, "template", template, ["lykta mandate template --as karin > mandate.json"])
    add_command(group, "draft", draft, ["lykta mandate draft mandate.json --as karin"])
    add_command(group, "propose", propose, ["lykta mandate propose man_01… --as karin"])
    add_command(group, "approve", approve, ["lykta mandate approve man_01… --as bertil"])
    add_command(group, "end", end, ["lykta mandate end man_01… --reason 'review: no longer needed' --as bertil"])
    application.add_typer(group, name="mandate")


async def list_mandates(session: Session, controller: Controller = "") -> None:
    """List the mandates of a controller, newest first."""
    request = pb2.MandateServiceListRequest(controller=await session.controller(controller))
    found = await session.ask(_PEER, pb2_grpc.MandateServiceStub, "List", request)
    rows = (
        (
            item.mandate_id,
            item.version,
            _state(item),
            ", ".join(MandateDocument.from_json(item.document_json).cameras),
            item.drafted_by,
            item.approved_by or "–",
            time_of(item.approved_at),
        )
        for item in found.mandates
    )
    headings = ("mandate", "version", "state", "cameras", "drafted by", "approved by", "approved")
    session.show(found, headings, rows, "no mandates: nothing may be recorded")


async def show(session: Session, mandate_id: MandateId) -> None:
    """Show one mandate with its document."""
    request = pb2.MandateServiceGetRequest(mandate_id=mandate_id)
    found = await session.ask(_PEER, pb2_grpc.MandateServiceStub, "Get", request)
    if session.json:
        session.print_json(found)
        return
    _print(session, found.mandate)
    session.out.print_json(found.mandate.document_json)


async def template(session: Session, controller: Controller = "") -> None:
    """Print a document to fill in."""
    start = datetime.now(UTC).replace(microsecond=0)
    document = MandateDocument(
        controller=await session.controller(controller),
        place="place-id",
        cameras=("camera-id",),
        purpose="which stated problem this camera is to help with",
        legal_ground=LegalGround(text="where the balancing test is filed"),
        valid_from=start,
        valid_to=start + timedelta(days=365),
        review_at=start + timedelta(days=180),
    )
    sys.stdout.write(document.model_dump_json(indent=2) + "\n")


async def draft(
    session: Session,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Document; see `lykta mandate template`.")],
    mandate_id: Annotated[str, typer.Option("--replace", help="Write this draft again.")] = "",
    controller: Controller = "",
) -> None:
    """Write a draft from a document."""
    request = pb2.MandateServiceDraftRequest(
        controller=await session.controller(controller), document_json=_text(file), mandate_id=mandate_id
    )
    found = await session.ask(_PEER, pb2_grpc.MandateServiceStub, "Draft", request)
    session.done(found, f"drafted {found.mandate.mandate_id}; next: lykta mandate propose {found.mandate.mandate_id}")


async def propose(session: Session, mandate_id: MandateId) -> None:
    """Freeze a draft and ask for approval."""
    request = pb2.MandateServiceProposeRequest(mandate_id=mandate_id)
    found = await session.ask(_PEER, pb2_grpc.MandateServiceStub, "Propose", request)
    session.done(
        found, f"proposed {mandate_id}; a second person approves it: lykta mandate approve {mandate_id} --as …"
    )


async def approve(session: Session, mandate_id: MandateId) -> None:
    """Approve a proposed mandate as a second person; it is signed and the recorders obey it."""
    request = pb2.MandateServiceApproveRequest(mandate_id=mandate_id)
    found = await session.ask(_PEER, pb2_grpc.MandateServiceStub, "Approve", request)
    session.done(found, f"approved {mandate_id}, version {found.mandate.version}; it is in force")


async def end(session: Session, mandate_id: MandateId, reason: Reason = "ended on the command line") -> None:
    """End a mandate; recording stops."""
    request = pb2.MandateServiceEndRequest(mandate_id=mandate_id, reason=reason)
    found = await session.ask(_PEER, pb2_grpc.MandateServiceStub, "End", request)
    session.done(found, f"ended {mandate_id}; recording stops")


def _print(session: Session, mandate: pb2.Mandate) -> None:
    session.out.print(f"{mandate.mandate_id} version {mandate.version}: {_state(mandate)}", highlight=False)
    session.out.print(f"drafted by {mandate.drafted_by}, approved by {mandate.approved_by or 'nobody yet'}")
    if mandate.end_reason:
        session.out.print(f"ended by {mandate.ended_by} at {time_of(mandate.ended_at)}: {mandate.end_reason}")


def _state(mandate: pb2.Mandate) -> str:
    return pb2.MandateState.Name(mandate.state).removeprefix("MANDATE_STATE_").lower()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8") from error
