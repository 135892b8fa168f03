"""`lykta incidents`: the incident book, and incidents as they come."""

from typing import Annotated

import grpc
import typer
from lykta.analytics.v1 import incident_service_pb2 as pb2
from lykta.analytics.v1 import incident_service_pb2_grpc as pb2_grpc
from lykta_common.errors import from_rpc

from lykta_standalone.cli.options import Controller, From, Limit, To
from lykta_standalone.cli.session import Session, add_command, time_of

_PEER = "analytics"


def register(application: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Incidents: list, show, tail.", no_args_is_help=True)
    add_command(group, "list", list_incidents, ["lykta incidents list --from -10m --as olle"])
    add_command(group, "show", show, ["lykta incidents show inc_01… --as olle --json"])
    add_command(group, "tail", tail, ["lykta incidents tail --as olle", "lykta incidents tail --json --as olle"])
    application.add_typer(group, name="incidents")


async def list_incidents(
    session: Session,
    camera: Annotated[str, typer.Option(help="Only this camera.")] = "",
    start: From = "-1d",
    to: To = "now",
    limit: Limit = 50,
    controller: Controller = "",
) -> None:
    """List incidents of a controller, newest first."""
    request = pb2.ListRequest(
        controller=await session.controller(controller), camera=camera, to=session.stamp(to), page_size=limit
    )
    getattr(request, "from").CopyFrom(session.stamp(start))
    found = await session.ask(_PEER, pb2_grpc.IncidentServiceStub, "List", request)
    rows = (
        (
            item.incident_id,
            time_of(item.started_at),
            time_of(item.ended_at),
            item.camera,
            item.category,
            item.lifecycle,
            item.severity,
            ", ".join(f"{count} {label}" for label, count in sorted(item.counts.items())),
            f"{item.confidence:.2f}",
        )
        for item in found.incidents
    )
    headings = ("incident", "started", "ended", "camera", "what", "life", "severity", "seen", "confidence")
    session.show(found, headings, rows, "no incidents")


async def show(session: Session, incident_id: Annotated[str, typer.Argument(metavar="INCIDENT_ID")]) -> None:
    """Show one incident with the event as it was published."""
    request = pb2.GetRequest(incident_id=incident_id)
    found = await session.ask(_PEER, pb2_grpc.IncidentServiceStub, "Get", request)
    if session.json:
        session.print_json(found)
    else:
        session.out.print(_line(found.incident), highlight=False)
        session.out.print_json(found.incident.event_json)


async def tail(
    session: Session,
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="Leave after this many steps; 0: never.")] = 0,
    controller: Controller = "",
) -> None:
    """Print incidents as they open, change and close, from now on; Ctrl-C ends it."""
    stub = await session.connection.stub(pb2_grpc.IncidentServiceStub, _PEER)
    request = pb2.WatchRequest(controller=await session.controller(controller))
    metadata = await session.connection.metadata(session.person)
    seen = 0
    try:
        async for step in stub.Watch(request, metadata=metadata):
            if session.json:
                session.print_json(step, compact=True)
            else:
                session.out.print(_line(step.incident), highlight=False)
            seen += 1
            if seen == count:
                return
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error, _PEER) from error


def _line(item: pb2.Incident) -> str:
    seen = ", ".join(f"{count} {label}" for label, count in sorted(item.counts.items()))
    zones = f" in {', '.join(item.zone_ids)}" if item.zone_ids else ""
    return (
        f"{time_of(item.started_at)}  {item.lifecycle:<7} {item.severity:<8} {item.camera}: {item.category}{zones}"
        f"{f' ({seen})' if seen else ''}  {item.incident_id}"
    )
