"""`lykta status` and `lykta endpoints`: what runs, and where."""

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import typer
from lykta_common.errors import unavailable

from lykta_standalone.cli.session import Session, add_command, new_table

STALE_SECONDS: Final = 20.0
"""The supervisor writes every second, or somewhat later when a service does not answer."""


def register(application: typer.Typer) -> None:
    """Add the commands."""
    add_command(application, "status", status, ["lykta status", "lykta status --json"])
    add_command(application, "endpoints", endpoints, ["lykta endpoints --json"])


async def status(session: Session) -> None:
    """Show what each process, service and camera is doing."""
    content = read_status(Path(session.platform.status_file), session.now)
    if session.json:
        _print(content)
        return
    processes = new_table(("process", "state", "ready", "restarts"), f"at {content['at']}")
    for item in content["processes"]:
        again = f"{item['restarts']} ({item['detail']})" if item["restarts"] else "0"
        processes.add_row(item["name"], item["state"], content["health"].get(item["name"], "–"), again)
    cameras = new_table(("controller", "camera", "state", "segments stored", "on the spool", "recorded to", "detail"))
    for item in content["cameras"]:
        cells = ("controller", "camera", "state", "segments", "spooled", "recorded_to", "detail")
        cameras.add_row(*(str(item[cell]) for cell in cells))
    session.out.print(processes, cameras)
    session.out.print(f"{len(content['incidents'])} incidents; `lykta incidents list` shows them", highlight=False)


async def endpoints(session: Session) -> None:
    """Show addresses and credential files of the running platform, as in `platform.json`."""
    content = session.platform.model_dump(mode="json")
    if session.json:
        _print(content)
        return
    table = new_table(("what", "where"))
    for name, value in content.items():
        text = json.dumps(value, ensure_ascii=False, indent=1) if isinstance(value, dict) else str(value)
        table.add_row(name, text)
    session.out.print(table)


def read_status(path: Path, now: datetime) -> dict[str, Any]:
    """Read what the supervisor last said; raises PlatformError UNAVAILABLE when that was a while ago."""
    try:
        content = dict(json.loads(path.read_text()))
        age = (now - datetime.fromisoformat(content["at"])) / timedelta(seconds=1)
    except (OSError, ValueError, KeyError) as error:
        raise unavailable("the supervisor has written no status yet; it") from error
    if age > STALE_SECONDS:
        raise unavailable(f"the supervisor last spoke {age:.0f} s ago and may have been killed; it")
    return content


def _print(content: object) -> None:
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
