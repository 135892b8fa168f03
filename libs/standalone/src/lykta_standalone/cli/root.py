"""Puts the commands together."""

import typer

from lykta_standalone.cli import (
    audit,
    backup,
    camera,
    case,
    controller,
    coverage,
    demo,
    footage,
    grant,
    incidents,
    login,
    mandate,
    member,
    place,
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
for noun in (
    up, demo, backup, login, platform, controller, place, member, camera, mandate, case, grant, footage, incidents,
    coverage, audit, retention,
):  # fmt: skip
    noun.register(application)


@application.callback()
def _root() -> None:
    """Lykta: record what a decision allows, notice incidents, show the right minutes, prove it afterwards."""
