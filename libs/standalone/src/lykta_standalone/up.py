"""`lykta up`: one run of the platform from the first process to the last, with its signals and its status."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final

from lykta_common.clock import SystemClock
from lykta_common.errors import PlatformError

from lykta_standalone.connection import Connection, connected
from lykta_standalone.display import Display, open_display
from lykta_standalone.downloads import fetch_footage, fetch_models
from lykta_standalone.founding import Founder
from lykta_standalone.layout import write_atomically
from lykta_standalone.status import Collector
from lykta_standalone.supervisor import Supervisor, UpOptions, ephemeral_directory, open_supervisor

STATUS_SECONDS: Final = 1.0
FOUND_SECONDS: Final = 60.0


async def run_up(options: UpOptions, *, ephemeral: bool) -> None:
    """Run the platform until SIGINT or SIGTERM; a second signal ends it at once.

    Raises PlatformError when it cannot start.
    """
    stop = asyncio.Event()
    with open_display() as display:
        async with AsyncExitStack() as stack:
            if ephemeral:
                options = replace(options, state_dir=await stack.enter_async_context(ephemeral_directory()))
            running: list[Supervisor] = []
            _take_signals(stop, running, display)
            await _until(stop, _serve(options, stop, running, display), running)
        display.say("everything has stopped; nothing is left running")


@asynccontextmanager
async def running_platform(options: UpOptions, display: Display) -> AsyncIterator[tuple[Supervisor, Connection]]:
    """Run the platform with its demo municipality for the block; ready to be used when the block begins."""
    async with asyncio.TaskGroup() as fetching:
        # Before anything runs: a download may take minutes.
        if "analytics" in options.targets:
            fetching.create_task(fetch_models(options.cache_dir, display.say))
        if options.demo_cameras:
            fetching.create_task(fetch_footage(options.cache_dir, display.say))
    async with (
        open_supervisor(options, display.say) as supervisor,
        connected(supervisor.platform_file()) as connection,
    ):
        if "access-control" in supervisor.platform_file().grpc:
            await _found(supervisor, connection, display)
        collector = Collector(connection, lambda: supervisor.conditions)
        # Before platform.json: who finds the one can read the other.
        write_atomically(supervisor.layout.status_file, collector.first().to_json())
        supervisor.announce()
        yield supervisor, connection


async def _serve(options: UpOptions, stop: asyncio.Event, running: list[Supervisor], display: Display) -> None:
    async with AsyncExitStack() as stack:
        supervisor, connection = await stack.enter_async_context(running_platform(options, display))
        running.append(supervisor)
        display.say(f"the platform is up; its attach points are in {supervisor.layout.platform_file}")
        for camera in options.real_cameras:
            display.say(f"camera {camera.name} is recorded under a DEMO mandate: karin drafted it, bertil approved it")
        watching = await stack.enter_async_context(connected(connection.platform, "test-tool"))
        collector = Collector(watching, lambda: supervisor.conditions)
        async with asyncio.TaskGroup() as tasks:
            reporting = tasks.create_task(_report(supervisor, collector, display), name="report")
            await stop.wait()
            reporting.cancel()
        display.say("stopping …")


async def _report(supervisor: Supervisor, collector: Collector, display: Display) -> None:
    """Collect and show a snapshot every second, until cancelled: a service that does not answer holds up no stop."""
    while True:
        snapshot = await collector.snapshot()
        write_atomically(supervisor.layout.status_file, snapshot.to_json())
        display.show(snapshot)
        await asyncio.sleep(STATUS_SECONDS)


async def _found(supervisor: Supervisor, connection: Connection, display: Display) -> None:
    """Found the demo municipality as soon as access-control answers."""
    founder = Founder(connection, SystemClock())
    try:
        async with asyncio.timeout(FOUND_SECONDS):
            while True:
                try:
                    await founder.found(supervisor.camera_addresses())
                    await founder.add_real(supervisor.options.real_cameras)
                except PlatformError as error:
                    if not error.retryable:
                        raise
                    await asyncio.sleep(0.2)
                else:
                    break
    except TimeoutError:
        log = supervisor.layout.log / "access-control.log"
        display.say(f"access-control does not answer; the demo municipality was not founded; see {log}")
        return
    display.say("DEMO people are ready; no passwords: lykta login anna (development identity provider)")


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None], running: list[Supervisor]) -> None:
    """Run the work; a stop before the platform is up cancels it, one after that is for the work to see."""
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done() and not running:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    else:
        await task


def _take_signals(stop: asyncio.Event, running: list[Supervisor], display: Display) -> None:
    def on_signal() -> None:
        if stop.is_set():
            for supervisor in running:
                supervisor.kill()
            sys.stderr.write("stopped at once, without draining\n")
            os._exit(1)
        stop.set()
        display.say("stopping; once more ends everything at once …")

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
