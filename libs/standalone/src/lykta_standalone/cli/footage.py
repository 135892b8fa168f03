"""`lykta footage`: what footage there is, and fetching it as a clip that proves itself."""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from lykta.storage.v1 import catalogue_service_pb2 as pb2
from lykta.storage.v1 import catalogue_service_pb2_grpc as pb2_grpc
from lykta.storage.v1 import playback_service_pb2 as playback_pb2
from lykta_common.errors import Code, PlatformError
from lykta_verify.clip_check import verify_clip
from lykta_verify.keys import read_public_key
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from lykta_standalone.cli.failure import UsageError
from lykta_standalone.cli.options import Controller, From, Limit, To
from lykta_standalone.cli.report import show_report
from lykta_standalone.cli.session import Session, add_command, time_of
from lykta_standalone.footage import Fetched, fetch_clip, grant_token
from lykta_standalone.playback import Playback, Wanted, instant

_PEER = "storage"
Camera = Annotated[str, typer.Argument(metavar="CAMERA")]


def register(application: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Footage: list, gaps, get (needs a grant), verify.", no_args_is_help=True)
    add_command(group, "list", list_footage, ["lykta footage list tradgardstorget-1 --from -1h --as anna"])
    add_command(group, "gaps", list_gaps, ["lykta footage gaps tradgardstorget-1 --from -1d --as anna"])
    add_command(
        group, "get", get,
        [
            "lykta footage get tradgardstorget-1 --from -2m --to -1m --grant grt_01… --output clip --as anna",
            "python -m lykta_verify clip clip --vkey … --recorder-key …",
        ],
    )  # fmt: skip
    add_command(group, "verify", verify, ["lykta footage verify clip"])
    application.add_typer(group, name="footage")


async def list_footage(
    session: Session,
    camera: Camera,
    start: From = "-1h",
    to: To = "now",
    limit: Limit = 100,
    controller: Controller = "",
) -> None:
    """List the segments of a camera, without showing them."""
    request = pb2.ListFootageRequest(
        controller=await session.controller(controller), camera=camera, to=session.stamp(to), page_size=limit
    )
    getattr(request, "from").CopyFrom(session.stamp(start))
    found = await session.ask(_PEER, pb2_grpc.CatalogueServiceStub, "ListFootage", request)
    rows = (
        (
            item.segment_id,
            time_of(getattr(item, "from")),
            time_of(item.to),
            item.fragments,
            f"{item.size_bytes / 1e6:.1f} MB",
            item.codec,
            item.state,
        )
        for item in found.segments
    )
    session.show(found, ("segment", "from", "to", "fragments", "size", "codec", "state"), rows, "no footage")
    if found.next_page_token and not session.json:
        session.note("there is more: narrow --from and --to, or raise --limit")


async def list_gaps(
    session: Session, camera: Camera, start: From = "-1d", to: To = "now", controller: Controller = ""
) -> None:
    """List declared gaps of a camera."""
    request = pb2.ListGapsRequest(controller=await session.controller(controller), camera=camera, to=session.stamp(to))
    getattr(request, "from").CopyFrom(session.stamp(start))
    found = await session.ask(_PEER, pb2_grpc.CatalogueServiceStub, "ListGaps", request)
    rows = ((time_of(getattr(item, "from")), time_of(item.to), _cause(item), item.gap_id) for item in found.gaps)
    session.show(found, ("from", "to", "cause", "gap"), rows, "no gaps")


async def get(
    session: Session,
    camera: Camera,
    start: From = "-2m",
    to: To = "-30s",
    grant: Annotated[str, typer.Option(help="Issued grant (grt_…).")] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Empty directory for the package.")] = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Take it at the pace at which it was recorded.")] = False,
    controller: Controller = "",
) -> None:
    """Fetch footage: clip.mp4 and manifest.json, which lead from the bytes to the audit log without the platform."""
    wanted = Wanted(await session.controller(controller), camera, session.when(start), session.when(to))
    if wanted.to_at <= wanted.from_at:
        raise UsageError("--to must be after --from")
    token = await grant_token(session.connection, session.person, grant) if grant else ""
    playback = Playback(session.connection, session.person, token, wanted, realtime)
    fetched = await _with_progress(session, playback, output or Path(f"clip-{camera}-{wanted.from_at:%Y%m%dT%H%M%S}"))
    package = fetched.package
    if session.json:
        sys.stdout.write(json.dumps(_summary(fetched), indent=2) + "\n")
    for gap in package.gaps:
        session.note(f"gap {gap.from_at} – {gap.to_at}: {gap.cause}")
    for edge in package.edges:
        reason = playback_pb2.EdgeReason.Name(edge.reason).removeprefix("EDGE_REASON_")
        session.note(f"edge {time_of(getattr(edge, 'from'))} – {time_of(edge.to)}: {reason}")
    if package.written and not session.json:
        session.out.print(
            f"{len(package.written)} fragments, {package.media_bytes / 1e6:.1f} MB in {package.directory}: "
            f"{', '.join(package.files)}, manifest.json",
            highlight=False,
        )
    if fetched.revoked is not None:
        message = f"the right to it ended on the way: {fetched.revoked.message}"
        raise PlatformError(Code.PERMISSION_DENIED, fetched.revoked.reason or "GRANT_REVOKED", message)


async def verify(
    session: Session,
    directory: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Clip package.")],
) -> None:
    """Verify a clip package with this platform's keys; `python -m lykta_verify clip` does it without a platform."""
    key = read_public_key(session.platform.recorder_key_file)
    show_report(session, verify_clip(directory, session.platform.audit_verifier_key, [key]))


async def _with_progress(session: Session, playback: Playback, directory: Path) -> Fetched:
    wanted = playback.wanted
    total = (wanted.to_at - wanted.from_at) / timedelta(seconds=1)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f} s"), TimeElapsedColumn())
    with Progress(*columns, console=session.err, transient=True, disable=not session.err.is_terminal) as progress:
        task = progress.add_task(f"{wanted.camera}", total=total)

        def on_item(item: playback_pb2.ReadResponse) -> None:
            if item.HasField("fragment"):
                progress.update(task, completed=(instant(item.fragment.to) - wanted.from_at) / timedelta(seconds=1))

        return await fetch_clip(playback, directory, on_item)


def _summary(fetched: Fetched) -> dict[str, object]:
    package = fetched.package
    return {
        "directory": str(package.directory.absolute()),
        "files": package.files,
        "fragments": len(package.written),
        "mediaBytes": package.media_bytes,
        "gaps": [{"from": gap.from_at, "to": gap.to_at, "cause": gap.cause} for gap in package.gaps],
        "edges": [MessageToDict(edge) for edge in package.edges],
        "revoked": MessageToDict(fetched.revoked) if fetched.revoked is not None else None,
    }


def _cause(gap: playback_pb2.Gap) -> str:
    return playback_pb2.GapCause.Name(gap.cause).removeprefix("GAP_CAUSE_")
