"""Shows a run to the person who started it: a live table on a terminal, plain lines of what changed elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lykta_standalone.registry import SERVICES
from lykta_standalone.status import CameraStatus, Snapshot

SHOWN_INCIDENTS: Final = 5
_COLOURS: Final = {"ready": "green", "running": "green", "RECORDING": "green", "away": "red", "restarting": "red"}
_DOES: Final = {service.name: service.does for service in SERVICES}
_DOES_ALSO: Final = {"nats-server": "carries facts", "weed": "keeps objects (S3)", "cameras": "replay street footage"}


class Display(Protocol):
    """Takes lines and snapshots."""

    def say(self, line: str) -> None:
        """Show one line for good."""
        ...

    def show(self, snapshot: Snapshot) -> None:
        """Show what is going on now."""
        ...


class PlainDisplay:
    """Writes a line whenever something changed."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._before: dict[str, str] = {}

    def say(self, line: str) -> None:
        """Write one line."""
        self._write(f"lykta: {line}\n")

    def show(self, snapshot: Snapshot) -> None:
        """Write what changed since the last snapshot."""
        now = dict(_facts(snapshot))
        for key, text in now.items():
            if self._before.get(key) != text:
                self.say(text)
        self._before = now


class LiveDisplay:
    """A table at the bottom of the terminal, renewed in place; lines scroll above it."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live

    def say(self, line: str) -> None:
        """Print one line above the table."""
        self._console.print(Text(line))

    def show(self, snapshot: Snapshot) -> None:
        """Renew the table."""
        self._live.update(Group(_processes(snapshot), _cameras(snapshot), _incidents(snapshot)), refresh=True)


@contextmanager
def open_display() -> Iterator[Display]:
    """Give the display that suits standard output."""
    if not sys.stdout.isatty():
        yield PlainDisplay(_write_line)
        return
    console = Console()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield LiveDisplay(console, live)


def _write_line(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _facts(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    for process in snapshot.processes:
        health = snapshot.health.get(process.name, process.state)
        state = process.state if process.state != "running" else health
        again = f", restarted {process.restarts} times ({process.detail})" if process.restarts else ""
        yield f"process {process.name}", f"{process.name}: {state}{again}"
    for camera in snapshot.cameras:
        detail = f" ({camera.detail})" if camera.detail and camera.state != "RECORDING" else ""
        yield f"camera {camera.camera}", f"camera {camera.controller}/{camera.camera}: {_word(camera)}{detail}"
    if snapshot.segments:
        yield "segments", f"{snapshot.segments} segments stored, {len(snapshot.incidents)} incidents"
    for incident in reversed(snapshot.incidents):
        words = f"{incident.category} at {incident.controller}/{incident.camera}, {incident.started_at}"
        yield f"incident {incident.incident_id}", f"incident {incident.lifecycle}: {words}"


def _processes(snapshot: Snapshot) -> Table:
    table = Table(title=f"Lykta on this machine, {snapshot.at}", title_justify="left", expand=False)
    for heading in ("process", "does", "state", "restarts"):
        table.add_column(heading)
    for process in snapshot.processes:
        health = snapshot.health.get(process.name, process.state)
        state = process.state if process.state != "running" else health
        does = _DOES.get(process.name) or _DOES_ALSO.get(process.name, "")
        again = f"{process.restarts} ({process.detail})" if process.restarts else "0"
        table.add_row(process.name, does, Text(state, style=_COLOURS.get(state, "yellow")), again)
    return table


def _cameras(snapshot: Snapshot) -> Table:
    table = Table(expand=False)
    for heading in ("controller", "camera", "state", "segments stored", "on the spool", "recorded to"):
        table.add_column(heading)
    for camera in snapshot.cameras:
        state = Text(_word(camera), style=_COLOURS.get(camera.state, "yellow"))
        table.add_row(
            camera.controller, camera.camera, state, str(camera.segments), str(camera.spooled), camera.recorded_to
        )
    return table


def _incidents(snapshot: Snapshot) -> Table:
    table = Table(expand=False, title=f"{len(snapshot.incidents)} incidents", title_justify="left")
    for heading in ("started", "controller", "camera", "what", "life"):
        table.add_column(heading)
    for item in snapshot.incidents[:SHOWN_INCIDENTS]:
        table.add_row(item.started_at, item.controller, item.camera, item.category, item.lifecycle)
    return table


def _word(camera: CameraStatus) -> str:
    return camera.state.lower().replace("_", " ")
