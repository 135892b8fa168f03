"""Tells the story: runs the steps in order on an ephemeral platform, and says what each proved."""

import asyncio
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from lykta_common.errors import PlatformError
from rich.console import Console

from lykta_standalone.connection import connected
from lykta_standalone.demo import ending, proving, watching
from lykta_standalone.demo.stage import BrokenPromiseError, Stage
from lykta_standalone.supervisor import UpOptions
from lykta_standalone.up import running_platform

SubjectT = TypeVar("SubjectT")
Step = Callable[[Stage], Awaitable[str]]

STEP_SECONDS: Final = 90.0
STEPS: Final[tuple[tuple[str, Step], ...]] = (
    ("recorded, because a decision allows it", watching.recorded),
    ("an incident is noticed", watching.noticed),
    ("footage without a grant: refused", watching.refused_without_grant),
    ("case, grant, and a second person's approval", watching.granted),
    ("the right minute is fetched", watching.fetched),
    ("it plays", watching.plays),
    ("it is what the camera sent, bit for bit", watching.identical),
    ("grant revoked while playing: the stream ends", watching.revoked),
    ("the log is verified offline and tells every step", proving.log_verified),
    ("the clip is proved from its bytes to the checkpoint", proving.clip_proved),
    ("a flipped byte in the clip is found", proving.damaged_clip),
    ("a flipped byte in the log is found", proving.damaged_log),
    ("mandate ended: recording stops", ending.mandate_ended),
    ("retention: the key is destroyed, the object is noise", ending.deleted),
    ("deleted for people too, and said so", ending.gone_for_people),
    ("the other controller finds nothing of it", ending.unseen_by_others),
)


@dataclass(frozen=True)
class Outcome:
    """How the story went."""

    held: int
    steps: int
    seconds: float

    @property
    def is_good(self) -> bool:
        """True when every step held."""
        return self.held == self.steps


class StoryDisplay:
    """Prints the platform's own lines dimmed, between the steps."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str) -> None:
        """Print one line."""
        self._console.print(f"   {line}", style="dim", highlight=False)

    def show(self, snapshot: object) -> None:
        """Show nothing: the story speaks for itself."""


async def tell(cache_dir: Path, keep: Path | None) -> Outcome:
    """Run the whole story; raises PlatformError when the platform does not start."""
    console = Console(soft_wrap=True)
    began = time.monotonic()
    held = 0
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with AsyncExitStack() as stack:
        work = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lykta-demo-")))
        options = UpOptions(work / "state", cache_dir, capture=True)
        display = StoryDisplay(console)
        supervisor, people = await stack.enter_async_context(running_platform(options, display))
        tool = await stack.enter_async_context(connected(supervisor.platform_file(), "test-tool"))
        stage = Stage(supervisor.platform_file(), people, tool, work)
        for number, (title, step) in enumerate(STEPS, 1):
            if not await take(console, stage, number, title, step):
                if not keep:
                    console.print("   run it with --keep DIR to look at logs and state afterwards", style="dim")
                break
            held += 1
    seconds = time.monotonic() - began
    mark = "[green]✔[/green]" if held == len(STEPS) else "[red]✘[/red]"
    console.print(f"\n{mark} {held} of {len(STEPS)} steps held, in {seconds:.0f} s", highlight=False)
    return Outcome(held, len(STEPS), seconds)


async def take(
    console: Console, subject: SubjectT, number: int, title: str, step: Callable[[SubjectT], Awaitable[str]]
) -> bool:
    """Do one step, print what it proved or what did not hold, and say whether it held."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(STEP_SECONDS):
            proved = await step(subject)
    except (BrokenPromiseError, PlatformError, TimeoutError) as error:
        console.print(f"[red]✘[/red] {number:>2}. [bold]{title}[/bold]", highlight=False)
        console.print(f"       {str(error) or f'not within {STEP_SECONDS:.0f} s'}", highlight=False, markup=False)
        return False
    took = time.monotonic() - began
    console.print(f"[green]✔[/green] {number:>2}. [bold]{title}[/bold] [dim]({took:.1f} s)[/dim]", highlight=False)
    console.print(f"       {proved}", highlight=False, markup=False)
    return True
