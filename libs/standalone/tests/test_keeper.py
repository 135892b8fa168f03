"""A kept process is started again when it dies, and says so."""

import asyncio
import signal
import sys
from pathlib import Path

from lykta_standalone.keeper import Keeper
from lykta_standalone.servers import Server
from lykta_testing.platform import eventually

_SLEEP = "import time; time.sleep(600)"


async def test_a_dead_child_is_started_again_and_counted(tmp_path: Path) -> None:
    """After a kill another process runs under the same name; the restart and its cause can be seen."""
    keeper = Keeper(Server("sleeper", [sys.executable, "-c", _SLEEP], tmp_path, 1))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeper.run())
        first = await eventually(lambda: keeper.condition.pid)
        assert keeper.server.process is not None
        keeper.server.process.kill()
        await eventually(lambda: keeper.condition.pid not in (0, first), what="another process")
        assert keeper.condition.restarts == 1
        assert keeper.condition.detail == f"killed by {signal.Signals.SIGKILL.name}"
        await keeper.stop(5.0)
    assert keeper.condition.state == "stopped"
    assert keeper.condition.pid == 0


async def test_a_child_that_always_ends_is_tried_with_growing_waits_until_it_is_stopped(tmp_path: Path) -> None:
    """A child that ends at once is tried again and again, and a stop ends the trying."""
    keeper = Keeper(Server("broken", [sys.executable, "-c", "raise SystemExit(7)"], tmp_path, 1))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeper.run())
        await eventually(lambda: keeper.condition.restarts >= 2, what="two restarts")
        assert keeper.condition.detail == "ended with code 7"
        await keeper.stop(5.0)
