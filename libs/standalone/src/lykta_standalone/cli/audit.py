"""`lykta audit`: search the log, download it, verify it."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from lykta.audit.v1 import log_service_pb2 as pb2
from lykta.audit.v1 import log_service_pb2_grpc as pb2_grpc
from lykta_verify.log import verify_log
from rich.progress import Progress

from lykta_standalone.cli.options import Controller, From, Limit, To
from lykta_standalone.cli.report import show_report
from lykta_standalone.cli.session import Session, add_command, time_of

_PEER = "audit"


def register(application: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="The transparency log: search, checkpoint, download, verify.", no_args_is_help=True)
    add_command(group, "search", search, ["lykta audit search --action footage. --as david"])
    add_command(group, "checkpoint", checkpoint, ["lykta audit checkpoint"])
    add_command(group, "download", download, ["lykta audit download log-copy"])
    add_command(group, "verify", verify, ["lykta audit verify", "lykta audit verify log-copy --since old-checkpoint"])
    application.add_typer(group, name="audit")


async def search(
    session: Session,
    action: Annotated[str, typer.Option(help="Exact action, or a prefix that ends in a dot.")] = "",
    actor: Annotated[str, typer.Option(help="Exact person or service.")] = "",
    case: Annotated[str, typer.Option(help="Exact case.")] = "",
    object_name: Annotated[str, typer.Option("--object", help="Exact object, e.g. camera/tradgardstorget-1.")] = "",
    start: From = "-1d",
    to: To = "now",
    limit: Limit = 50,
    controller: Controller = "",
) -> None:
    """Search one controller's entries, newest first. The search itself is logged."""
    request = pb2.SearchRequest(
        controller=await session.controller(controller), action=action, actor_id=actor, case_id=case,
        object=object_name, to=session.stamp(to), page_size=limit,
    )  # fmt: skip
    getattr(request, "from").CopyFrom(session.stamp(start))
    found = await session.ask(_PEER, pb2_grpc.LogServiceStub, "Search", request)
    rows = (
        (
            item.index,
            time_of(item.record.occurred_at),
            item.record.actor.id,
            item.record.action,
            item.record.object,
            item.record.result,
            item.record.reason or "–",
            item.record.case_id or "–",
        )
        for item in found.records
    )
    headings = ("index", "when", "who", "did", "to", "result", "reason", "case")
    session.show(found, headings, rows, "no entries")


async def checkpoint(session: Session) -> None:
    """Print the newest signed checkpoint; keep it to prove later that nothing was cut."""
    stub = await session.connection.stub(pb2_grpc.LogServiceStub, _PEER)
    found = await session.connection.ask("", _PEER, stub.GetCheckpoint, pb2.GetCheckpointRequest())
    session.done(found, found.checkpoint.rstrip("\n"))


async def download(
    session: Session, output: Annotated[Path, typer.Argument(help="Empty directory for the copy.")]
) -> None:
    """Download the whole log from its bucket."""
    count = await _download(session, output)
    session.out.print(f"{count} files of the log are in {output}", highlight=False)


async def verify(
    session: Session,
    directory: Annotated[Path | None, typer.Argument(help="Downloaded log; none: download it now.")] = None,
    vkey: Annotated[str, typer.Option(help="Verifier key; this platform's when not given.")] = "",
    since: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A checkpoint kept earlier.")] = None,
) -> None:
    """Verify the log: signature, every entry, every tile, and that it extends an earlier checkpoint."""
    key = vkey or session.platform.audit_verifier_key
    earlier = since.read_bytes() if since else None
    if directory is not None:
        show_report(session, verify_log(directory, key, earlier))
        return
    with tempfile.TemporaryDirectory(prefix="lykta-log-") as folder:
        copy = Path(folder) / "log"
        await _download(session, copy)
        show_report(session, verify_log(copy, key, earlier))


async def _download(session: Session, directory: Path) -> int:
    from lykta_standalone.log_download import download_log  # brings the S3 clients

    with Progress(console=session.err, transient=True, disable=not session.err.is_terminal) as progress:
        task = progress.add_task("log", total=None)

        def on_file(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return await download_log(session.platform, directory, on_file)
