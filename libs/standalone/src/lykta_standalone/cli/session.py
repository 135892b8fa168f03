"""What every operator command has: a running platform, a person, and a form of output; and how commands are added."""

import functools
import inspect
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from lykta.access_control.v1 import directory_service_pb2 as directory
from lykta.access_control.v1 import directory_service_pb2_grpc as directory_grpc
from lykta_common.errors import Code, PlatformError
from lykta_contracts.platform_file import PlatformFile
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lykta_standalone.cli.failure import UsageError, run
from lykta_standalone.cli.when import parse_when
from lykta_standalone.connection import Connection, connected, read_platform
from lykta_standalone.layout import DEFAULT_STATE, STATE_VARIABLE, Layout

PERSON_VARIABLE: Final = "LYKTA_PERSON"
_FILE_WIDTH: Final = 250
"""Columns of a table that goes into a file or a pipe, where nobody sees a narrow terminal."""
StubT = TypeVar("StubT")

StateDir = Annotated[Path, typer.Option("--state-dir", envvar=STATE_VARIABLE, help="State directory of the platform.")]
As = Annotated[str, typer.Option("--as", envvar=PERSON_VARIABLE, help="Do it as this person instead of who logged in.")]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON (protobuf JSON of the response).")]


@dataclass
class Session:
    """One command against a running platform."""

    layout: Layout
    platform: PlatformFile
    connection: Connection
    wanted_person: str
    json: bool
    out: Console = field(default_factory=lambda: Console(width=None if sys.stdout.isatty() else _FILE_WIDTH))
    err: Console = field(default_factory=lambda: Console(stderr=True))
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def person(self) -> str:
        """Who does it; raises PlatformError that says how to log in."""
        name = self.wanted_person or logged_in(self.layout)
        if not name:
            message = f"nobody is logged in; use `lykta login NAME` or --as NAME ({', '.join(self.platform.people)})"
            raise PlatformError(Code.UNAUTHENTICATED, "UNAUTHENTICATED", message)
        return name

    async def ask(
        self, peer: str, kind: Callable[..., StubT], method: str, request: Message, *, seconds: float | None = None
    ) -> Any:
        """Make one unary call as the person."""
        stub = await self.connection.stub(kind, peer)
        return await self.connection.ask(self.person, peer, getattr(stub, method), request, seconds=seconds)

    async def controller(self, named: str) -> str:
        """Return the controller that was named, or the person's only one; raises UsageError when there are several."""
        if named:
            return named
        request = directory.ControllerServiceListRequest()
        found = await self.ask("access-control", directory_grpc.ControllerServiceStub, "List", request)
        names = [item.controller for item in found.controllers]
        if len(names) == 1:
            return str(names[0])
        if not names:
            message = f"{self.person} belongs to no controller; name one with --controller, or use another person"
            raise PlatformError(Code.NOT_FOUND, "NOT_FOUND", message)
        raise UsageError(f"name one with --controller: {', '.join(names)}")

    def when(self, text: str) -> datetime:
        """Read a point in time from the command line."""
        return parse_when(text, self.now)

    def stamp(self, text: str) -> Timestamp | None:
        """Read a point in time as a protobuf instant; None for no text."""
        if not text:
            return None
        found = Timestamp()
        found.FromDatetime(self.when(text))
        return found

    def show(self, response: Message, headings: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
        """Print a response: as JSON when asked, else as a table, or a sentence when there is nothing."""
        if self.json:
            self.print_json(response)
            return
        table = new_table(headings)
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        if table.row_count:
            self.out.print(table)
        else:
            self.out.print(empty)

    def done(self, response: Message, sentence: str) -> None:
        """Print a response: as JSON when asked, else what was done."""
        if self.json:
            self.print_json(response)
        else:
            self.out.print(sentence, highlight=False)

    def print_json(self, response: Message, compact: bool = False) -> None:
        """Print the protobuf JSON of a response; compact is one line."""
        content = MessageToDict(response)
        sys.stdout.write(json.dumps(content, indent=None if compact else 2, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Tell the person something that is not part of the answer."""
        self.err.print(text, highlight=False)


Command = Callable[..., Awaitable[None]]


def add_command(application: typer.Typer, name: str, command: Command, examples: Sequence[str] = ()) -> None:
    """Add a command: an async function whose first parameter is the session; the common options come with it."""
    signature = inspect.signature(command)
    own = list(signature.parameters.values())[1:]
    common = [
        inspect.Parameter("as_person", inspect.Parameter.KEYWORD_ONLY, default="", annotation=As),
        inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json),
        inspect.Parameter("state_dir", inspect.Parameter.KEYWORD_ONLY, default=DEFAULT_STATE, annotation=StateDir),
    ]

    @functools.wraps(command)
    def wrapped(*args: Any, as_person: str, as_json: bool, state_dir: Path, **options: Any) -> None:
        async def work() -> None:
            async with open_session(state_dir, as_person, as_json) as session:
                await command(session, *args, **options)

        run(work())

    keyword_only = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own]
    wrapped.__signature__ = inspect.Signature([*keyword_only, *common])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {item.name: item.annotation for item in (*own, *common)}
    epilog = "[bold]Examples[/bold]\n\n" + "\n\n".join(f"  {example}" for example in examples) if examples else None
    application.command(name, epilog=epilog)(wrapped)


@asynccontextmanager
async def open_session(state_dir: Path, person: str, as_json: bool) -> AsyncIterator[Session]:
    """Find the platform of a state directory and connect to it for the block; raises PlatformError when none runs."""
    layout = Layout(state_dir)
    platform = read_platform(layout.platform_file)
    async with connected(platform) as connection:
        session = Session(layout, platform, connection, person, as_json)
        name = person or logged_in(layout)
        if name and (token := kept_token(layout, name)):
            connection.use_token(name, token)
        yield session


def new_table(headings: Sequence[str], title: str | None = None) -> Table:
    """Make a table whose cells are folded rather than cut, so that an id can always be copied."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def logged_in(layout: Layout) -> str:
    """Return who logged in last in this run; empty when nobody did."""
    try:
        return (layout.people / "current").read_text().strip()
    except OSError:
        return ""


def kept_token(layout: Layout, person: str) -> str:
    """Return a person's token from `lykta login`, unless it is about to expire; empty when there is none."""
    try:
        kept = json.loads((layout.people / f"{person}.json").read_text())
    except (OSError, ValueError):
        return ""
    fresh = float(kept.get("expires_at", 0)) > datetime.now(UTC).timestamp() + 60
    return str(kept.get("token", "")) if fresh else ""


def time_of(stamp: Timestamp) -> str:
    """Write a protobuf instant as local time for people; a dash for none."""
    if not stamp.seconds:
        return "–"
    return stamp.ToDatetime(tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
