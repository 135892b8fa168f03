"""`lykta retention`: delete what is past its time now."""

from typing import Annotated

import typer
from lykta.storage.v1 import catalogue_service_pb2 as pb2
from lykta.storage.v1 import catalogue_service_pb2_grpc as pb2_grpc

from lykta_standalone.cli.options import Controller
from lykta_standalone.cli.session import Session, add_command
from lykta_standalone.cli.when import HELP


def register(application: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Retention: keys are destroyed, then objects, then a receipt is logged.")
    add_command(group, "run", run_retention, ["lykta retention run --as david"])
    application.add_typer(group, name="retention")


async def run_retention(
    session: Session,
    as_of: Annotated[str, typer.Option(help=f"Pretend that it is this time (development only). {HELP}")] = "",
    camera: Annotated[str, typer.Option(help="Only this camera.")] = "",
    controller: Controller = "",
) -> None:
    """Delete what is past its time now instead of in the next round."""
    request = pb2.RunRequest(as_of=session.stamp(as_of), controller=await session.controller(controller), camera=camera)
    found = await session.ask("storage", pb2_grpc.RetentionServiceStub, "Run", request, seconds=60.0)
    rows = ((item.controller, item.camera, item.hour, item.segments, item.audit_entry_id) for item in found.deletions)
    session.show(found, ("controller", "camera", "hour", "segments", "receipt"), rows, "nothing was past its time")
