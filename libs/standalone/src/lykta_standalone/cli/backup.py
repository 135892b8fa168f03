"""`lykta backup`, `restore`, `receipts`, `decisions`, `drill`: what is kept, and how it comes back."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lykta_standalone.cli.failure import REFUSED, run
from lykta_standalone.downloads import default_cache
from lykta_standalone.layout import DEFAULT_STATE, STATE_VARIABLE, Layout

StateDir = Annotated[Path, typer.Option(envvar=STATE_VARIABLE, help="State directory of the platform.")]
LogCopy = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Downloaded log (`lykta audit download`).")]
Vkey = Annotated[str, typer.Option(help="The log's verifier key (`lykta endpoints`, notes of the chart).")]


def register(application: typer.Typer) -> None:
    """Add the commands."""
    for command, examples in (
        (backup, ("lykta backup /mnt/backup", "lykta backup /mnt/backup --objects-only")),
        (restore, ("lykta restore /mnt/backup --state-dir .state", "lykta restore /mnt/backup --log newest-log")),
        (receipts, ("lykta receipts log-copy --vkey KEY > receipts",)),
        (decisions, ("lykta decisions log-copy --vkey KEY --after 1200",)),
        (drill, ("lykta drill", "lykta drill --keep /tmp/drill")),
    ):
        epilog = "\n\n".join(["[bold]Examples[/bold]", *(f"  {example}" for example in examples)])
        application.command(command.__name__, epilog=epilog)(command)


def backup(
    directory: Annotated[Path, typer.Argument(help="New or empty, or the backup to bring up to date.")],
    *,
    state_dir: StateDir = DEFAULT_STATE,
    objects_only: Annotated[
        bool, typer.Option("--objects-only", help="Only footage and log; databases and keys stay as they were.")
    ] = False,
) -> None:
    """Back up the platform of a state directory, while it runs or is stopped, and nothing that was deleted.

    Only what is new is copied of footage and log. The backup holds [bold]every key[/bold]: keep it as safe as them, and
    keep no second, older copy of it: what retention has destroyed would live on in there.
    """
    run(_backup(directory.absolute(), Layout(state_dir.resolve()), objects_only))


def restore(
    directory: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The backup.")],
    *,
    state_dir: StateDir = DEFAULT_STATE,
    objects: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="A newer backup: take its footage and log.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="A newer copy of the log than the backup's.")
    ] = None,
    since: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The newest checkpoint anybody kept.")
    ] = None,
) -> None:
    """Restore a backup into an empty state directory, and delete again what was deleted since.

    Nothing is started. At the end it lists what people decided after the databases were copied: those decisions are to
    be made again before cameras are started (`lykta up --target access-control,audit --no-demo-cameras`).
    """
    run(_restore(directory.absolute(), Layout(state_dir.resolve()), objects, log, since))


def receipts(log: LogCopy, *, vkey: Vkey) -> None:
    """Verify a copy of the log and print its deletion receipts, for `python -m lykta_storage delete-again`."""
    run(_receipts(log, vkey))


def decisions(
    log: LogCopy,
    *,
    vkey: Vkey,
    after: Annotated[int, typer.Option(min=0, help="Entries that the restored databases know of.")],
) -> None:
    """Verify a copy of the log and list what people decided after a database was backed up."""
    run(_decisions(log, vkey, after))


def drill(
    *, keep: Annotated[Path | None, typer.Option(help="Keep states, backup and logs in this directory.")] = None
) -> None:
    """Back up, lose everything, restore, and prove what came back and what stays gone. Exit code 0 only if all held."""
    run(_drill(keep.absolute() if keep else None))


async def _backup(directory: Path, layout: Layout, objects_only: bool) -> None:
    from lykta_standalone.backup.taking import back_up

    manifest = await back_up(layout, directory, _say, objects_only=objects_only)
    size = sum(item.size_bytes for item in manifest.everything().values())
    _say(f"backed up to {directory}: {size / 1e6:.1f} MB, databases of {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC")


async def _restore(directory: Path, layout: Layout, objects: Path | None, log: Path | None, since: Path | None) -> None:
    from lykta_standalone.backup.records import describe
    from lykta_standalone.backup.restoring import Newer
    from lykta_standalone.backup.restoring import restore as bring_back

    done = await bring_back(directory, layout, _say, Newer(objects, log, since))
    _say(f"restored to {layout.root}; the log has {done.log_size} entries")
    if done.decisions:
        _say(f"decided after the databases were backed up, and to be decided again ({len(done.decisions)}):")
    for decision in done.decisions:
        _say(f"  {describe(decision)}")


async def _receipts(log: Path, vkey: str) -> None:
    from lykta_standalone.backup.records import receipts as of
    from lykta_standalone.backup.records import verified_records

    sys.stdout.buffer.write(of(verified_records(log, vkey)))


async def _decisions(log: Path, vkey: str, after: int) -> None:
    from lykta_standalone.backup.records import decisions_since, describe, verified_records

    for decision in decisions_since(verified_records(log, vkey), after):
        _say(describe(decision))


async def _drill(keep: Path | None) -> None:
    from lykta_standalone.drill.story import tell

    outcome = await tell(default_cache(), keep)
    if not outcome.is_good:
        raise typer.Exit(REFUSED)


def _say(line: str) -> None:
    Console(soft_wrap=True).print(line, highlight=False, markup=False)
