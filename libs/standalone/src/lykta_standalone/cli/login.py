"""`lykta login`: says who the person at the keyboard is."""

import json
import time
from typing import Annotated

import typer

from lykta_standalone.cli.session import Session, add_command
from lykta_standalone.connection import fetch_token
from lykta_standalone.development import TOKEN_SECONDS
from lykta_standalone.secret_files import write_secret


def register(application: typer.Typer) -> None:
    """Add the commands."""
    add_command(application, "login", login, ["lykta login anna"])
    add_command(application, "people", people, ["lykta people"])


async def login(
    session: Session, name: Annotated[str, typer.Argument(help="A demo person; see `lykta people`.")]
) -> None:
    """Log in as a demo person. DEVELOPMENT: there is no password."""
    token = await fetch_token(session.platform, name)
    kept = {"token": token, "expires_at": time.time() + TOKEN_SECONDS}
    write_secret(session.layout.people / f"{name}.json", json.dumps(kept))
    write_secret(session.layout.people / "current", name + "\n")
    session.out.print(f"logged in as {name} ({session.platform.people.get(name, 'demo person')})", highlight=False)
    session.note("DEVELOPMENT identity provider: there are no passwords")


async def people(session: Session) -> None:
    """Show the demo people and what each may do."""
    for name, does in session.platform.people.items():
        session.out.print(f"{name:<10}{does}", highlight=False)
