"""The administrator's commands: rebuild the catalogue from the bucket, and delete again what a restore brought back."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lykta_common.clock import SystemClock
from lykta_common.config import load_settings
from lykta_common.errors import PlatformError
from lykta_common.logging import configure
from lykta_common.metrics import Metrics
from lykta_common.runtime import Platform
from lykta_common.telemetry import Telemetry

from lykta_storage.app import delete_again, rebuild
from lykta_storage.config import Settings
from lykta_storage.redeletion import read_receipts

ResultT = TypeVar("ResultT")


def run_rebuild() -> None:
    """Rebuild with the service's own settings and say what was found; exits 1 when an object was refused."""
    found = _run("rebuild", rebuild)
    sys.stdout.write(f"segments {found.segments}, refused {found.refused}\n")
    sys.exit(1 if found.refused else 0)


def run_delete_again() -> None:
    """Take receipts from standard input (`lykta receipts` writes them) and destroy again what they name."""

    async def work(settings: Settings, platform: Platform) -> str:
        done = await delete_again(settings, platform, read_receipts(sys.stdin.buffer))
        return f"receipts {done.receipts}, keys destroyed again {done.keys}, hours emptied again {done.hours}"

    sys.stdout.write(_run("delete-again", work) + "\n")


def _run(name: str, work: Callable[[Settings, Platform], Awaitable[ResultT]]) -> ResultT:
    try:
        settings = load_settings(Settings)
        configure("storage", settings.log_format, settings.log_level)
        return asyncio.run(_on_platform(settings, work))
    except PlatformError as error:
        sys.exit(f"lykta storage {name}: {error.message}")


async def _on_platform(settings: Settings, work: Callable[[Settings, Platform], Awaitable[ResultT]]) -> ResultT:
    telemetry = Telemetry("storage", settings.replica, settings.otlp_endpoint)
    try:
        return await work(settings, Platform(telemetry, SystemClock(), Metrics("storage")))
    finally:
        await asyncio.to_thread(telemetry.close)
