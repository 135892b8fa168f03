"""Tells the story: runs the steps in order on an ephemeral platform, and says what each proved."""

import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from rich.console import Console

from lykta_standalone.connection import connected
from lykta_standalone.demo import ending, proving, watching
from lykta_standalone.demo.stage import Stage
from lykta_standalone.supervisor import UpOptions
from lykta_standalone.telling import Outcome, StoryDisplay, end_on_sigterm, tell_steps
from lykta_standalone.up import running_platform

Step = Callable[[Stage], Awaitable[str]]

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


async def tell(cache_dir: Path, keep: Path | None) -> Outcome:
    """Run the whole story; raises PlatformError when the platform does not start."""
    console, began = Console(soft_wrap=True), time.monotonic()
    end_on_sigterm()
    async with AsyncExitStack() as stack:
        work = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lykta-demo-")))
        options = UpOptions(work / "state", cache_dir, capture=True)
        supervisor, people = await stack.enter_async_context(running_platform(options, StoryDisplay(console)))
        tool = await stack.enter_async_context(connected(supervisor.platform_file(), "test-tool"))
        return await tell_steps(console, began, Stage(supervisor.platform_file(), people, tool, work), STEPS, keep)
