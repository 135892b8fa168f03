"""`lykta coverage`: was everything recorded that a mandate asked for, or is it explained?"""

from typing import Annotated

import typer
from lykta.storage.v1 import catalogue_service_pb2 as pb2
from lykta.storage.v1 import catalogue_service_pb2_grpc as pb2_grpc

from lykta_standalone.cli.options import Controller, From, To
from lykta_standalone.cli.session import Session, add_command


def register(application: typer.Typer) -> None:
    """Add the command."""
    add_command(application, "coverage", coverage, ["lykta coverage --from -1h --as anna"])


async def coverage(
    session: Session,
    camera: Annotated[str, typer.Option(help="Only this camera.")] = "",
    start: From = "-1h",
    to: To = "now",
    controller: Controller = "",
) -> None:
    """Balance the time a mandate asked for against what was recorded, explained by a gap, or neither."""
    request = pb2.CoverageRequest(controller=await session.controller(controller), camera=camera, to=session.stamp(to))
    getattr(request, "from").CopyFrom(session.stamp(start))
    found = await session.ask("storage", pb2_grpc.CatalogueServiceStub, "Coverage", request)
    rows = (
        (
            item.camera,
            _seconds(item.scheduled_ms),
            _seconds(item.recorded_ms),
            _seconds(item.explained_ms),
            _seconds(item.pending_ms),
            _seconds(item.unexplained_ms),
            len(item.gaps),
        )
        for item in found.cameras
    )
    headings = ("camera", "scheduled", "recorded", "explained", "not settled yet", "UNEXPLAINED", "gaps")
    session.show(found, headings, rows, "no cameras")


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s"
