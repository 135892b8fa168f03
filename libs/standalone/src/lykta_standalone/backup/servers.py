"""NATS and S3 of a platform: those that run, or, where nothing runs, those of the state directory, started for it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from lykta_common.config import ObjectStoreSettings
from lykta_common.errors import Code, PlatformError, invalid

from lykta_standalone import credentials
from lykta_standalone.connection import read_platform
from lykta_standalone.downloads import default_cache, models_directory
from lykta_standalone.environment import Surroundings, service_environment
from lykta_standalone.layout import Layout, locked
from lykta_standalone.registry import SERVICES
from lykta_standalone.supervisor import Supervisor, UpOptions, logging_to

COMMAND_SECONDS: Final = 3600.0
"""For one administrator's command of a service; a rebuild reads every object's index."""
LOG_FILE: Final = "backup.log"


class _AdminSettings(ObjectStoreSettings):
    """Object-store settings of the administrator."""


@dataclass(frozen=True)
class Servers:
    """Where NATS and S3 of one state directory answer; `running` says whether the whole platform does."""

    layout: Layout
    nats_url: str
    s3_endpoint: str
    running: bool

    def s3_settings(self) -> ObjectStoreSettings:
        """Return the settings of the S3 administrator."""
        file = credentials.s3_credentials(self.layout, "admin")
        return _AdminSettings.model_validate({"s3_endpoint": self.s3_endpoint, "s3_credentials_file": file})


@asynccontextmanager
async def servers_of(layout: Layout, say: Callable[[str], None]) -> AsyncIterator[Servers]:
    """Use the servers of the running platform for the block, or start them without any service.

    Raises PlatformError when the state directory holds no platform, or one that is just starting.
    """
    if not layout.secrets.is_dir():
        raise invalid(f"{layout.root} holds no platform's state; name another with --state-dir")
    if is_running(layout):
        platform = read_platform(layout.platform_file)
        with logging_to(layout.log / LOG_FILE):
            yield Servers(layout, platform.nats_url, platform.s3_endpoint, running=True)
        return
    async with started_servers(layout, say) as (servers, _):
        yield servers


@asynccontextmanager
async def started_servers(
    layout: Layout, say: Callable[[str], None]
) -> AsyncIterator[tuple[Servers, "ServiceCommands"]]:
    """Start NATS and S3 of a state directory, nothing else, for the block; it is locked meanwhile."""
    options = UpOptions(layout.root, default_cache(), targets=(), demo_cameras=False)
    with locked(layout), logging_to(layout.log / LOG_FILE):
        supervisor = Supervisor(options, layout, say)
        await supervisor.prepare()
        async with asyncio.TaskGroup() as tasks:
            try:
                await supervisor.start_servers(tasks)
                platform = supervisor.platform_file()
                servers = Servers(layout, platform.nats_url, platform.s3_endpoint, running=False)
                yield servers, ServiceCommands(layout, supervisor.ports, supervisor.issuer)
            finally:
                await supervisor.stop()


class ServiceCommands:
    """Administrator's commands of services, run with the settings the service itself would have."""

    def __init__(self, layout: Layout, ports: dict[str, int], issuer: str) -> None:
        self._around = Surroundings(layout, ports, issuer, models_directory(default_cache()))

    async def run(self, name: str, command: str, stdin: bytes = b"") -> str:
        """Run `python -m <service> <command>` and return what it said; raises PlatformError with its words."""
        service = next(item for item in SERVICES if item.name == name)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", service.package, command, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=service_environment(service, self._around),
        )  # fmt: skip
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                output, errors = await process.communicate(stdin)
        except BaseException:
            with suppress(ProcessLookupError):
                process.kill()
            raise
        if process.returncode:
            said = (errors or output).decode(errors="replace").strip().splitlines()
            message = f"{name} {command} failed: {said[-1] if said else process.returncode}"
            raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)
        return output.decode(errors="replace").strip()


def is_running(layout: Layout) -> bool:
    """Say whether some process holds the state directory."""
    try:
        with locked(layout):
            return False
    except PlatformError:
        return True
