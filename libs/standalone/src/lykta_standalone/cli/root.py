"""Puts the commands together."""

import typer

from lykta_standalone.cli import (
    audit,
    camera,
    case,
    coverage,
    demo,
    footage,
    grant,
    incidents,
    login,
    mandate,
    platform,
    retention,
    up,
)

application = typer.Typer(
    name="lykta",
    help="Lykta: record what a decision allows, notice incidents, show the right minutes, prove it afterwards.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
)
for noun in (up, demo, login, platform, camera, mandate, case, grant, footage, incidents, coverage, audit, retention):
    noun.register(application)


@application.callback()
def _root() -> None:
    """Lykta: record what a decision allows, notice incidents, show the right minutes, prove it afterwards."""
