"""Runs one service as a process: settings, logs, telemetry, signals, and a bounded end."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Generic

from lykta_common.clock import Clock, SystemClock
from lykta_common.config import SettingsT, load_settings
from lykta_common.errors import PlatformError
from lykta_common.health import Health
from lykta_common.logging import configure, get_logger
from lykta_common.metrics import Metrics, serve_metrics
from lykta_common.telemetry import Telemetry

log = get_logger(__name__)

STOP_SECONDS: Final = 8.0
"""How long an orderly end may take; after it the process leaves anyway and says so."""


@dataclass(frozen=True)
class Platform:
    """What the process gives to its service."""

    telemetry: Telemetry
    clock: Clock
    metrics: Metrics


@dataclass(frozen=True)
class ServiceSpec(Generic[SettingsT]):
    """A service: its name, its settings and its composition root.

    `open` starts everything and yields when the service does its job; leaving the block stops everything.
    """

    name: str
    settings_type: type[SettingsT]
    open: Callable[[SettingsT, Platform], AbstractAsyncContextManager[Health]]
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None


def run(spec: ServiceSpec[Any]) -> None:
    """Run the service until SIGTERM or SIGINT; exits 1 with one clear line when it cannot start or breaks."""
    try:
        settings = load_settings(spec.settings_type)
        configure(spec.name, settings.log_format, settings.log_level)
        with asyncio.Runner(loop_factory=spec.loop_factory) as runner:
            runner.run(_run(spec, settings))
    except PlatformError as error:
        sys.exit(f"lykta {spec.name}: {error.message}")
    except BaseExceptionGroup as group:
        known, other = group.split(PlatformError)
        if other is not None:
            raise
        causes = [str(error) for error in _leaves(known)] if known else []
        sys.exit(f"lykta {spec.name}: {'; '.join(causes)}")


async def _run(spec: ServiceSpec[Any], settings: Any) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stop)
    telemetry = Telemetry(spec.name, settings.replica, settings.otlp_endpoint)
    try:
        metrics = Metrics(spec.name)
        async with (
            serve_metrics(settings.metrics_listen, metrics, settings.tls_certificate_file),
            spec.open(settings, Platform(telemetry, SystemClock(), metrics)) as health,
        ):
            metrics.watch(health)
            log.info("service_started", replica=settings.replica, profile=settings.profile)
            await stop.wait()
            # From here the end is bounded, whatever a peer or a disk does.
            loop.call_later(STOP_SECONDS, _leave, spec.name)
            log.info("service_stopping")
    finally:
        await asyncio.to_thread(telemetry.close)
    log.info("service_stopped")


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        _leave("service")
    stop.set()


def _leave(name: str) -> None:
    log.error("service_left_without_drain", name=name)
    os._exit(1)


def _leaves(group: BaseExceptionGroup[Any]) -> "list[BaseException]":
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
