"""Options that several commands share."""

from typing import Annotated

import typer

from lykta_standalone.cli.when import HELP

Controller = Annotated[str, typer.Option("--controller", "-c", help="Controller; the person's own when there is one.")]
From = Annotated[str, typer.Option("--from", help=f"From. {HELP}")]
To = Annotated[str, typer.Option("--to", help=f"To. {HELP}")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is logged.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most this many.")]
