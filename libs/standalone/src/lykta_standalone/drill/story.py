"""Tells the drill: runs its steps in order on platforms of its own, and says what each proved."""

import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from rich.console import Console

from lykta_standalone.drill import after, before
from lykta_standalone.drill.stage import Drill
from lykta_standalone.telling import Outcome, StoryDisplay, end_on_sigterm, tell_steps

Step = Callable[[Drill], Awaitable[str]]

STEPS: Final[tuple[tuple[str, Step], ...]] = (
    ("recorded, and a clip fetched", before.recorded),
    ("retention deletes an hour", before.deleted_before),
    ("backed up while it records", before.backed_up),
    ("life goes on: more footage, another hour deleted", before.went_on),
    ("the buckets are mirrored once more", before.mirrored),
    ("disaster: everything is lost", after.lost),
    ("restored; what was deleted since is deleted again", after.brought_back),
    ("decided again, before any camera runs", after.decided_again),
    ("recording goes on where a decision allows it", after.goes_on),
    ("footage from before is read, bit for bit", after.identical),
    ("what cannot be read is exactly what was deleted", after.exactly_that),
    ("the log verifies offline and continues", after.log_continues),
)


async def tell(cache_dir: Path, keep: Path | None) -> Outcome:
    """Run the whole drill; raises PlatformError when the first platform does not start."""
    console, began = Console(soft_wrap=True), time.monotonic()
    end_on_sigterm()
    async with AsyncExitStack() as stack:
        work = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lykta-drill-")))
        drill = Drill(work, cache_dir, StoryDisplay(console))
        stack.push_async_callback(drill.stop)
        return await tell_steps(console, began, drill, STEPS, keep)
