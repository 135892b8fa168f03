"""Runs the whole platform on one machine: servers, identity provider, bootstrap, services, cameras; and ends it all."""

import asyncio
import importlib.util
import logging
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lykta_common.config import ObjectStoreSettings
from lykta_common.tls import TlsFiles
from lykta_contracts.platform_file import ClientCertificate, NatsUser, PlatformFile

from lykta_standalone import credentials
from lykta_standalone.bootstrap import AUDIT_BUCKET, FOOTAGE_BUCKET, bootstrap_nats, bootstrap_s3
from lykta_standalone.dev_identity import DevelopmentProvider, issuer_at, serving
from lykta_standalone.downloads import fetch_footage, models_directory
from lykta_standalone.environment import OIDC_AUDIENCE, Surroundings, grpc_address, service_environment
from lykta_standalone.keeper import Condition, Keeper
from lykta_standalone.layout import Layout, choose_ports, locked, write_atomically
from lykta_standalone.municipality import CONTROLLERS, PEOPLE, demo_cameras
from lykta_standalone.pki import LocalAuthority
from lykta_standalone.ports import LOOPBACK
from lykta_standalone.real_camera import RealCamera
from lykta_standalone.registry import NAMES, SERVICES, Service
from lykta_standalone.secret_files import secret_text
from lykta_standalone.servers import Server, nats_server, nats_url, s3_server, s3_url
from lykta_standalone.street import Street, StreetCamera, write_street

Say = Callable[[str], None]

SERVICE_STOP_SECONDS: Final = 6.5
SERVER_STOP_SECONDS: Final = 2.0
CLIENTS: Final = ("cli", "test-tool", "subscriber")


@dataclass(frozen=True)
class UpOptions:
    """What `lykta up` was asked for; `ports` holds only those that were given."""

    state_dir: Path
    cache_dir: Path
    ports: dict[str, int] = field(default_factory=dict)
    targets: tuple[str, ...] = NAMES
    demo_cameras: bool = True
    real_cameras: tuple[RealCamera, ...] = ()
    camera_allow: tuple[str, ...] = ("127.0.0.0/8",)
    camera_secrets: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    otlp_endpoint: str = ""
    capture: bool = False
    overrides: dict[str, str] = field(default_factory=dict)


class _S3AdminSettings(ObjectStoreSettings):
    """Object-store settings of the bootstrap."""


class Supervisor:
    """Everything of one run. Start it with `open_supervisor`."""

    def __init__(self, options: UpOptions, layout: Layout, say: Say) -> None:
        self.options = options
        self.layout = layout
        self.ports = choose_ports(layout, options.ports)
        self.issuer = issuer_at(self.ports["identity"])
        self.keepers: dict[str, Keeper] = {}
        self._say = say
        self._authority = LocalAuthority(layout.pki)
        self._around = Surroundings(
            layout, self.ports, self.issuer, models_directory(options.cache_dir), options.camera_allow,
            options.otlp_endpoint, options.overrides,
        )  # fmt: skip

    @property
    def conditions(self) -> list[Condition]:
        """What each process is doing, in order of start."""
        return [keeper.condition for keeper in self.keepers.values()]

    @property
    def services(self) -> list[Service]:
        """The services of this run: those that were asked for and are installed."""
        return [s for s in SERVICES if s.name in self.options.targets and _is_runnable(s)]

    async def prepare(self) -> None:
        """Make directories, keys, certificates and accounts; start nothing."""
        self.layout.create()
        # After a power cut they still speak of the run before.
        for stale in (self.layout.platform_file, self.layout.status_file, *self.layout.people.iterdir()):
            stale.unlink(missing_ok=True)
        credentials.make_signing_keys(self.layout)
        for workload in ("nats", "identity", "bootstrap", *NAMES, *CLIENTS):
            self._authority.issue(workload)
        file = self.layout.secrets / "cameras.json"
        known = credentials.read_camera_credentials(file)
        if self.options.demo_cameras:
            for camera in demo_cameras():
                secret = secret_text(self.layout.secrets / f"camera-{camera.camera}")
                known[camera.camera] = {"username": "lykta", "password": secret}
        credentials.write_camera_credentials(file, known | self.options.camera_secrets)

    async def start_servers(self, tasks: asyncio.TaskGroup) -> None:
        """Start NATS and S3, create what is in them, and keep them running."""
        accounts = credentials.nats_accounts(self.layout, _subscribers())
        nats = nats_server(self.layout.root / "nats", self._tls("nats"), accounts, self.ports["nats"])
        s3 = s3_server(self.layout.root / "s3", credentials.s3_accounts(self.layout), self.ports["s3"])
        for server in (nats, s3):
            server.log_file = self.layout.log / f"{server.name}.log"
        async with asyncio.TaskGroup() as starting:
            for server in (nats, s3):
                starting.create_task(server.start())
        for server in (nats, s3):
            self._keep(server, tasks)
        admin = _S3AdminSettings.model_validate(
            {
                "s3_endpoint": s3_url(s3),
                "s3_credentials_file": credentials.s3_credentials(self.layout, "admin"),
            }
        )
        async with asyncio.TaskGroup() as creating:
            password = credentials.nats_password(self.layout, "bootstrap")
            creating.create_task(bootstrap_nats(nats_url(nats), password, self._tls("bootstrap")))
            creating.create_task(bootstrap_s3(admin))
        self._say(f"servers ready: NATS on {nats_url(nats)}, S3 on {s3_url(s3)}")

    async def start_services(self, tasks: asyncio.TaskGroup) -> None:
        """Start the demo cameras and every service, and keep them running; does not wait for them."""
        if self.options.demo_cameras:
            self._keep(await self._street(), tasks)
        for service in self.services:
            directory = self.layout.service(service.name)
            directory.mkdir(parents=True, exist_ok=True)
            server = Server(
                service.name, [sys.executable, "-m", service.package], directory, self.ports[service.name],
                environment=service_environment(service, self._around),
                log_file=self.layout.log / f"{service.name}.log",
            )  # fmt: skip
            self._keep(server, tasks)
        missing = [s.name for s in SERVICES if s.name in self.options.targets and not _is_runnable(s)]
        if missing:
            self._say(f"not installed: {', '.join(missing)}")

    async def stop(self) -> None:
        """End services and cameras, then the servers; each bounded, together at most 10 s."""
        self.layout.platform_file.unlink(missing_ok=True)
        servers = {"nats-server", "weed"}
        for names, seconds in (
            ([name for name in self.keepers if name not in servers], SERVICE_STOP_SECONDS),
            ([name for name in self.keepers if name in servers], SERVER_STOP_SECONDS),
        ):
            await asyncio.gather(*(self.keepers[name].stop(seconds) for name in names))

    def kill(self) -> None:
        """End everything at once."""
        for keeper in self.keepers.values():
            keeper.kill()

    def platform_file(self) -> PlatformFile:
        """Describe the attach points."""
        layout = self.layout
        clients = {
            name: ClientCertificate(
                certificate_file=str(layout.pki / f"{name}.pem"), key_file=str(layout.pki / f"{name}.key")
            )
            for name in CLIENTS
        }
        users = {
            user: NatsUser(user=user, password_file=str(credentials.nats_password(layout, user)), controller=of)
            for user, of in _subscribers().items()
        }
        cameras = self.options.demo_cameras
        return PlatformFile(
            state_dir=str(layout.root),
            nats_url=f"tls://{LOOPBACK}:{self.ports['nats']}",
            nats_users=users,
            grpc={service.name: grpc_address(self._around, service.name) for service in self.services},
            s3_endpoint=f"http://{LOOPBACK}:{self.ports['s3']}",
            s3_buckets={"footage": FOOTAGE_BUCKET, "audit": AUDIT_BUCKET},
            s3_credentials_file=str(credentials.s3_credentials(layout, "reader")),
            oidc_issuer=self.issuer,
            ca_file=str(layout.pki / "ca.pem"),
            clients=clients,
            audit_origin=credentials.AUDIT_ORIGIN,
            audit_verifier_key=credentials.audit_verifier_key(layout),
            recorder_key_file=str(credentials.public_key(layout, credentials.RECORDER_KEY)),
            profile="development",
            oidc_client_secret_file=str(layout.secrets / "identity"),
            people={name: person.does for name, person in PEOPLE.items()},
            status_file=str(layout.status_file),
            log_dir=str(layout.log),
            camera_control_url=f"http://{LOOPBACK}:{self.ports['camera-control']}" if cameras else "",
            camera_capture_dir=str(self._capture_dir) if cameras and self.options.capture else "",
            otlp_endpoint=self.options.otlp_endpoint,
        )

    def announce(self) -> None:
        """Write `platform.json`."""
        write_atomically(self.layout.platform_file, self.platform_file().model_dump_json(indent=2) + "\n")

    def camera_addresses(self) -> dict[str, str]:
        """Return the RTSP addresses of the demo cameras."""
        if not self.options.demo_cameras:
            return {}
        return {item.camera: f"rtsp://{LOOPBACK}:{self.ports['cameras']}/{item.camera}" for item in demo_cameras()}

    def identity_provider(self) -> DevelopmentProvider:
        """Make the development identity provider of this run."""
        secret = secret_text(self.layout.secrets / "identity")
        people = {name: person.identity for name, person in PEOPLE.items()}
        return DevelopmentProvider(self.issuer, OIDC_AUDIENCE, people, secret)

    @asynccontextmanager
    async def identity(self) -> AsyncIterator[None]:
        """Serve the identity provider for the block."""
        async with serving(self.identity_provider(), self.ports["identity"], self._tls("identity")):
            yield

    @property
    def _capture_dir(self) -> Path:
        return self.layout.root / "capture"

    def _tls(self, workload: str) -> TlsFiles:
        return TlsFiles(
            self._authority.ca_file, self.layout.pki / f"{workload}.pem", self.layout.pki / f"{workload}.key"
        )

    def _keep(self, server: Server, tasks: asyncio.TaskGroup) -> None:
        keeper = Keeper(server)
        self.keepers[server.name] = keeper
        tasks.create_task(keeper.run(), name=f"keep-{server.name}")

    async def _street(self) -> Server:
        known = credentials.read_camera_credentials(self.layout.secrets / "cameras.json")
        street = Street(
            await fetch_footage(self.options.cache_dir, self._say),
            self.ports["cameras"],
            self.ports["camera-control"],
            tuple(StreetCamera(item.camera, item.offset_s, **known[item.camera]) for item in demo_cameras()),
            str(self._capture_dir) if self.options.capture else "",
        )
        file = self.layout.secrets / "street.json"
        write_street(file, street)
        arguments = [sys.executable, "-m", "lykta_standalone.street", str(file)]
        return Server(
            "cameras", arguments, self.layout.root, self.ports["cameras"], log_file=self.layout.log / "cameras.log"
        )


@asynccontextmanager
async def open_supervisor(options: UpOptions, say: Say) -> AsyncIterator[Supervisor]:
    """Run the platform for the block: everything is started, nothing is left at its end.

    Raises PlatformError when the state directory is in use or a server does not start.
    """
    layout = Layout(options.state_dir.resolve())
    async with AsyncExitStack() as stack:
        stack.enter_context(locked(layout))
        supervisor = Supervisor(options, layout, say)
        stack.enter_context(logging_to(layout.log / "supervisor.log"))
        await supervisor.prepare()
        async with asyncio.TaskGroup() as tasks:
            try:
                await stack.enter_async_context(supervisor.identity())
                await supervisor.start_servers(tasks)
                await supervisor.start_services(tasks)
                yield supervisor
            finally:
                await supervisor.stop()


@asynccontextmanager
async def ephemeral_directory() -> AsyncIterator[Path]:
    """Give a state directory that is removed at the end of the block."""
    directory = Path(tempfile.mkdtemp(prefix="lykta-"))
    try:
        yield directory
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, True)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Send what libraries in this process have to say to a log file, not across the person's screen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


def _subscribers() -> dict[str, str]:
    return {f"subscriber-{owner.controller}": owner.controller for owner in CONTROLLERS}


def _is_runnable(service: Service) -> bool:
    try:
        return importlib.util.find_spec(f"{service.package}.__main__") is not None
    except ModuleNotFoundError:
        return False
