"""The administrator's command: rebuild the catalogue from the bucket alone."""

import asyncio
import sys

from lykta_common.clock import SystemClock
from lykta_common.config import load_settings
from lykta_common.errors import PlatformError
from lykta_common.logging import configure
from lykta_common.metrics import Metrics
from lykta_common.runtime import Platform
from lykta_common.telemetry import Telemetry

from lykta_storage.app import rebuild
from lykta_storage.catalogue import Rebuilt
from lykta_storage.config import Settings


def run_rebuild() -> None:
    """Rebuild with the service's own settings and say what was found; exits 1 when an object was refused."""
    try:
        settings = load_settings(Settings)
        configure("storage", settings.log_format, settings.log_level)
        found = asyncio.run(_rebuild(settings))
    except PlatformError as error:
        sys.exit(f"lykta storage rebuild: {error.message}")
    sys.stdout.write(f"segments {found.segments}, refused {found.refused}\n")
    sys.exit(1 if found.refused else 0)


async def _rebuild(settings: Settings) -> Rebuilt:
    telemetry = Telemetry("storage", settings.replica, settings.otlp_endpoint)
    try:
        return await rebuild(settings, Platform(telemetry, SystemClock(), Metrics("storage")))
    finally:
        await asyncio.to_thread(telemetry.close)
