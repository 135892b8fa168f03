"""The servers the platform stands on, from PyPI wheels: nats-server and SeaweedFS's `weed`, on loopback."""

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lykta_common.errors import Code, PlatformError
from lykta_common.tls import TlsFiles
from lykta_contracts.permissions import UserPermissions

from lykta_standalone.ports import LOOPBACK, free_ports

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 5.0
LEASH: Final = Path(__file__).with_name("leash.py")


class Server:
    """A child process with its log file; it can be killed and started again on the same ports and directory.

    It leads a process group of its own and dies with the process that started it (see `leash`).
    """

    def __init__(
        self, name: str, arguments: list[str], directory: Path, port: int, *,
        environment: Mapping[str, str] | None = None, log_file: Path | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.arguments = arguments
        self.directory = directory
        self.port = port
        self.environment = environment
        self.log_file = log_file or directory / f"{name}.log"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until its port answers; raises PlatformError with the end of its log."""
        await self.spawn()
        await self.ready()

    async def spawn(self) -> None:
        """Start it without waiting for its port."""
        self.directory.mkdir(parents=True, exist_ok=True)
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid())]
        with self.log_file.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *leash, *self.arguments, stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL, cwd=self.directory,
                env=None if self.environment is None else dict(self.environment), start_new_session=True,
            )  # fmt: skip

    async def ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until its port answers; raises PlatformError with the end of its log."""
        try:
            async with asyncio.timeout(seconds):
                while not await answers(self.port):
                    if self.process is None or self.process.returncode is not None:
                        raise self._failed("ended at once")
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            await self.stop()
            raise self._failed(f"did not answer within {seconds:.0f} s") from error

    async def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = STOP_SECONDS) -> None:
        """End it and what it started; killed when it has not gone in time. Stopping a stopped one changes nothing."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
        except TimeoutError:
            self.kill_group()
            await process.wait()
        self.kill_group()

    async def kill(self) -> None:
        """End it without warning, as a power cut would."""
        await self.stop(signal.SIGKILL)

    def kill_group(self) -> None:
        """Send SIGKILL to all that is left of its process group; right after its end, before the id is used again."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def _failed(self, why: str) -> PlatformError:
        tail = self.log_file.read_text(errors="replace")[-600:]
        return PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", f"{self.name} {why}: {tail.strip()}")


async def answers(port: int) -> bool:
    """Say whether something accepts connections on a loopback port."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


@dataclass(frozen=True)
class NatsAccount:
    """A NATS user: its permissions and the file its password lies in."""

    permissions: UserPermissions
    password_file: Path


def nats_server(directory: Path, tls: TlsFiles, accounts: Iterable[NatsAccount], port: int = 0) -> Server:
    """Prepare a nats-server with JetStream, mutual TLS and one user per account (passwords are made when missing)."""
    directory.mkdir(parents=True, exist_ok=True)
    port = port or free_ports(1)[0]
    users = [
        {
            "user": account.permissions.user,
            "password": _password(account.password_file),
            "permissions": {
                "publish": list(account.permissions.publish),
                "subscribe": list(account.permissions.subscribe),
            },
        }
        for account in accounts
    ]
    config = {
        "listen": f"{LOOPBACK}:{port}",
        "max_payload": 8 * 1024 * 1024,
        "jetstream": {"store_dir": str(directory / "jetstream"), "sync_interval": "always"},
        "tls": {
            "cert_file": str(tls.certificate),
            "key_file": str(tls.key),
            "ca_file": str(tls.ca),
            "verify": True,
        },
        "authorization": {"users": users},
    }
    file = directory / "nats-server.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(config, indent=1))
    return Server("nats-server", [_binary("nats-server"), "-c", str(file)], directory, port)


def nats_url(server: Server) -> str:
    """Return the URL clients connect to."""
    return f"tls://{LOOPBACK}:{server.port}"


@dataclass(frozen=True)
class S3Account:
    """An S3 user: its SeaweedFS actions and the JSON file with access_key and secret_key."""

    name: str
    actions: tuple[str, ...]
    credentials_file: Path


def s3_server(directory: Path, accounts: Iterable[S3Account], port: int = 0) -> Server:
    """Prepare a SeaweedFS with its S3 gateway only; every other port is a free one and on loopback."""
    directory.mkdir(parents=True, exist_ok=True)
    ports = free_ports(8)
    port = port or ports[0]
    config = {
        "identities": [
            {
                "name": account.name,
                "credentials": [dict(zip(("accessKey", "secretKey"), _s3_keys(account), strict=True))],
                "actions": list(account.actions),
            }
            for account in accounts
        ]
    }
    file = directory / "s3.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(config, indent=1))
    data = directory / "data"
    data.mkdir(exist_ok=True)
    arguments = [
        _binary("weed"), "-logtostderr=true", "server", f"-dir={data}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}",
        f"-master.port={ports[1]}", f"-master.port.grpc={ports[2]}", "-master.telemetry=false",
        "-master.volumeSizeLimitMB=256",
        f"-volume.port={ports[3]}", f"-volume.port.grpc={ports[4]}", "-volume.max=0",
        f"-filer.port={ports[5]}", f"-filer.port.grpc={ports[6]}", "-filer.disk=",
        "-s3", f"-s3.port={port}", f"-s3.port.grpc={ports[7]}", f"-s3.config={file}", "-s3.iam=false",
        "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.ip.bind={LOOPBACK}",
    ]  # fmt: skip
    return Server("weed", arguments, directory, port)


def s3_url(server: Server) -> str:
    """Return the endpoint of the S3 gateway."""
    return f"http://{LOOPBACK}:{server.port}"


@asynccontextmanager
async def running(*servers: Server) -> AsyncIterator[None]:
    """Run servers for the block, started together and stopped in reverse order."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for server in servers:
                tasks.create_task(server.start())
        yield
    finally:
        for server in reversed(servers):
            await server.stop()


def _binary(name: str) -> str:
    found = Path(sys.executable).parent / name
    if not os.access(found, os.X_OK):
        raise PlatformError(
            Code.FAILED_PRECONDITION,
            "WRONG_STATE",
            f"{found} is missing; run `make install`",
        )
    return str(found)


def _password(file: Path) -> str:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24) + "\n")
    return file.read_text().strip()


def _s3_keys(account: S3Account) -> tuple[str, str]:
    file = account.credentials_file
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps({"access_key": account.name, "secret_key": secrets.token_urlsafe(24)}))
    parsed = json.loads(file.read_text())
    return str(parsed["access_key"]), str(parsed["secret_key"])
