"""`lykta grant`: people's time-limited rights to footage within a case."""

from typing import Annotated

import typer
from lykta.access_control.v1 import grant_service_pb2 as pb2
from lykta.access_control.v1 import grant_service_pb2_grpc as pb2_grpc
from lykta_contracts.roles import Action

from lykta_standalone.cli.options import Controller, From, Reason, To
from lykta_standalone.cli.session import Session, add_command, time_of

_PEER = "access-control"
GrantId = Annotated[str, typer.Argument(metavar="GRANT_ID")]


def register(application: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Grants: request, approve (a second person), revoke, list.", no_args_is_help=True)
    add_command(group, "list", list_grants, ["lykta grant list --as anna"])
    add_command(
        group, "request", request_grant,
        ["lykta grant request case_01… --camera tradgardstorget-1 --from -10m --to now --as anna"],
    )  # fmt: skip
    add_command(group, "approve", approve, ["lykta grant approve grt_01… --as bertil"])
    add_command(group, "revoke", revoke, ["lykta grant revoke grt_01… --reason 'wrong camera' --as bertil"])
    application.add_typer(group, name="grant")


async def list_grants(session: Session, controller: Controller = "") -> None:
    """List the grants of a controller, newest first."""
    request = pb2.GrantServiceListRequest(controller=await session.controller(controller))
    found = await session.ask(_PEER, pb2_grpc.GrantServiceStub, "List", request)
    rows = (
        (
            item.grant_id,
            item.case_id,
            item.person_id,
            ", ".join(item.cameras),
            pb2.GrantState.Name(item.state).removeprefix("GRANT_STATE_").lower(),
            f"{time_of(getattr(item, 'from'))} – {time_of(item.to)}",
            item.approved_by or "–",
            time_of(item.expires_at),
        )
        for item in found.grants
    )
    headings = ("grant", "case", "person", "cameras", "state", "footage", "approved by", "expires")
    session.show(found, headings, rows, "no grants")


async def request_grant(
    session: Session,
    case_id: Annotated[str, typer.Argument(metavar="CASE_ID")],
    camera: Annotated[list[str], typer.Option(help="Camera; may be given several times.")],
    start: From = "-10m",
    to: To = "now",
    valid_seconds: Annotated[int, typer.Option(help="How long it is valid once approved; 0: 8 hours.")] = 0,
) -> None:
    """Ask for a grant to play back footage, for oneself."""
    request = pb2.GrantServiceRequestRequest(
        case_id=case_id, cameras=camera, actions=[Action.FOOTAGE_PLAYBACK.value], to=session.stamp(to),
        valid_seconds=valid_seconds,
    )  # fmt: skip
    getattr(request, "from").CopyFrom(session.stamp(start))
    found = await session.ask(_PEER, pb2_grpc.GrantServiceStub, "Request", request)
    grant_id = found.grant.grant_id
    session.done(found, f"requested {grant_id}; a second person approves it: lykta grant approve {grant_id} --as …")


async def approve(session: Session, grant_id: GrantId) -> None:
    """Approve a requested grant as a second person."""
    request = pb2.GrantServiceApproveRequest(grant_id=grant_id)
    found = await session.ask(_PEER, pb2_grpc.GrantServiceStub, "Approve", request)
    session.done(found, f"approved {grant_id}; valid until {time_of(found.grant.expires_at)}")


async def revoke(session: Session, grant_id: GrantId, reason: Reason = "revoked on the command line") -> None:
    """Revoke a grant; playback under it ends at once."""
    request = pb2.GrantServiceRevokeRequest(grant_id=grant_id, reason=reason)
    found = await session.ask(_PEER, pb2_grpc.GrantServiceStub, "Revoke", request)
    session.done(found, f"revoked {grant_id}; playback under it ends")
