"""Tells a story in steps, each of which proves something: the demo's and the drill's."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from lykta_common.errors import PlatformError
from rich.console import Console

from lykta_standalone.promises import BrokenPromiseError

SubjectT = TypeVar("SubjectT")

STEP_SECONDS: Final = 90.0


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


def end_on_sigterm() -> None:
    """Let a SIGTERM cancel the current task, so that everything it started is stopped."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def tell_steps(
    console: Console,
    began: float,
    subject: SubjectT,
    steps: Sequence[tuple[str, Callable[[SubjectT], Awaitable[str]]]],
    keep: Path | None,
) -> Outcome:
    """Do the steps in order until one does not hold; `began` is the monotonic time at which the telling did."""
    held = 0
    for number, (title, step) in enumerate(steps, 1):
        if not await _take(console, subject, number, title, step):
            if not keep:
                console.print("   run it with --keep DIR to look at logs and state afterwards", style="dim")
            break
        held += 1
    seconds = time.monotonic() - began
    mark = "[green]✔[/green]" if held == len(steps) else "[red]✘[/red]"
    console.print(f"\n{mark} {held} of {len(steps)} steps held, in {seconds:.0f} s", highlight=False)
    return Outcome(held, len(steps), seconds)


async def _take(
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
