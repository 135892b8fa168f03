"""`lykta demo`: the story of the platform, once and unattended."""

from pathlib import Path
from typing import Annotated

import typer

from lykta_standalone.cli.failure import REFUSED, run
from lykta_standalone.downloads import default_cache


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("demo", epilog="[bold]Examples[/bold]\n\n  lykta demo\n\n  lykta demo --keep /tmp/demo")(demo)


def demo(
    *,
    keep: Annotated[
        Path | None, typer.Option(help="Keep state, logs, clip and log in this directory instead of removing them.")
    ] = None,
) -> None:
    """Tell the story once: what is promised, done and proved step by step. Exit code 0 only if every step held."""
    run(_demo(keep.absolute() if keep else None))


async def _demo(keep: Path | None) -> None:
    # Here, so that no other command waits for servers and their clients to be imported.
    from lykta_standalone.demo.story import tell

    outcome = await tell(default_cache(), keep)
    if not outcome.is_good:
        raise typer.Exit(REFUSED)
