"""A real NATS with the platform's users and a real S3 for tests, with certificates and settings for any service."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lykta_common.clock import Clock, SystemClock
from lykta_common.config import ObjectStoreSettings, ServiceSettings
from lykta_common.metrics import Metrics
from lykta_common.runtime import Platform
from lykta_common.telemetry import Telemetry
from lykta_common.tls import TlsFiles
from lykta_contracts.permissions import UserPermissions, all_permissions, subscriber_permissions
from lykta_standalone.bootstrap import AUDIT_BUCKET, AUDIT_LOCK_DAYS, FOOTAGE_BUCKET, bootstrap_nats, bootstrap_s3
from lykta_standalone.cluster.plan import S3Setup
from lykta_standalone.cluster.setup import set_up_object_store
from lykta_standalone.cluster.table import S3_ACTIONS
from lykta_standalone.pki import LocalAuthority
from lykta_standalone.ports import free_ports
from lykta_standalone.servers import NatsAccount, S3Account, Server, nats_server, nats_url, s3_server, s3_url

from lykta_testing import minio, postgres

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)

TEST_USER = UserPermissions("test", (">",), (">",))
"""A NATS user that may do everything: the hand of the test."""


class S3TestSettings(ObjectStoreSettings):
    """Object-store settings made in a test."""


@dataclass
class Backbone:
    """Running servers and everything a service needs to join them."""

    directory: Path
    authority: LocalAuthority
    nats: Server
    s3: Server | None = None
    s3_secrets: Path = field(init=False)
    _tls: dict[str, TlsFiles] = field(default_factory=dict)
    _databases: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.s3_secrets = self.directory / "secrets" / "s3"

    def tls(self, workload: str) -> TlsFiles:
        """Return the certificate files of a workload."""
        if workload not in self._tls:
            self._tls[workload] = self.authority.issue(workload)
        return self._tls[workload]

    def password_file(self, user: str) -> Path:
        """Return the file with a NATS user's password."""
        return self.directory / "secrets" / f"nats-{user}"

    def common(self, workload: str, replica: str = "0") -> dict[str, Any]:
        """Return the settings every service needs, as keyword arguments."""
        files = self.tls(workload)
        return {
            "profile": "development",
            "replica": replica,
            "state_dir": self.directory / "state" / f"{workload}-{replica}",
            "nats_url": nats_url(self.nats),
            "nats_user": workload,
            "nats_password_file": self.password_file(workload),
            "tls_ca_file": files.ca,
            "tls_certificate_file": files.certificate,
            "tls_key_file": files.key,
            "log_format": "console",
        }

    def settings(self, settings_type: type[SettingsT], workload: str, replica: str = "0", **more: Any) -> SettingsT:
        """Make the settings of a service; a database lands in its state directory, S3 is this backbone's."""
        values = self.common(workload, replica) | more
        fields = settings_type.model_fields
        if "database_url" in fields:
            values.setdefault("database_url", self.database_url(f"{workload}-{replica}"))
        if self.s3 is not None and "s3_endpoint" in fields:
            values.setdefault("s3_endpoint", s3_url(self.s3))
            values.setdefault("s3_credentials_file", self.s3_credentials_of(workload))
        return settings_type.model_validate(values)

    def database_url(self, name: str) -> str:
        """Return the URL of a database of this backbone, the same for the same name; empty when first asked for."""
        if name not in self._databases:
            file = self.directory / "state" / name / "rows.db"
            self._databases[name] = postgres.new_database() if postgres.wanted() else f"sqlite+aiosqlite:///{file}"
        return self._databases[name]

    def use_database(self, name: str, url: str) -> None:
        """Take this URL for the database of a name, instead of making one."""
        self._databases[name] = url

    @property
    def s3_credentials_file(self) -> Path:
        """The S3 user of tests: administrator."""
        return self.s3_secrets / "bootstrap.json"

    def s3_credentials_of(self, workload: str) -> Path:
        """Return the S3 user of a workload: its own where the store has accounts (MinIO), else the administrator."""
        own = self.s3_secrets / f"{workload}.json"
        return own if own.exists() else self.s3_credentials_file

    def use_s3_of(self, other: "Backbone") -> None:
        """Use another backbone's S3 with its accounts, instead of one of its own."""
        self.s3, self.s3_secrets = other.s3, other.s3_secrets

    def s3_settings(self) -> ObjectStoreSettings:
        """Return object-store settings for the test's own use."""
        if self.s3 is None:
            raise RuntimeError("this backbone has no S3; ask for open_backbone(s3=True)")
        return S3TestSettings.model_validate(
            {"s3_endpoint": s3_url(self.s3), "s3_credentials_file": self.s3_credentials_file}
        )


@asynccontextmanager
async def open_backbone(directory: Path, s3: bool = True) -> AsyncIterator[Backbone]:
    """Start NATS (and S3) with streams, durables and buckets made; stopped at the end of the block.

    S3 is SeaweedFS, or MinIO where `LYKTA_TEST_OBJECT_STORE` says so.
    """
    authority = LocalAuthority(directory / "pki")
    permissions = [*all_permissions(), TEST_USER, subscriber_permissions("subscriber-ks", "ks")]
    accounts = [NatsAccount(p, directory / "secrets" / f"nats-{p.user}") for p in permissions]
    nats = nats_server(directory / "nats", authority.issue("nats"), accounts)
    backbone = Backbone(directory, authority, nats)
    servers = [nats]
    if s3:
        backbone.s3 = _object_store(directory / "s3", backbone.s3_credentials_file)
        servers.append(backbone.s3)
    try:
        async with asyncio.TaskGroup() as tasks:
            for server in servers:
                tasks.create_task(server.start())
        await bootstrap_nats(nats_url(nats), backbone.password_file("bootstrap"), backbone.tls("bootstrap"))
        if s3:
            await _make_buckets(backbone)
        yield backbone
    finally:
        # Nothing of it is kept, so nothing waits for an orderly end (the S3 server takes seconds for one).
        for server in reversed(servers):
            await server.kill()


def _object_store(directory: Path, credentials_file: Path) -> Server:
    """Prepare the S3 that tests shall use; its only account may do everything."""
    if minio.wanted():
        return minio.minio_server(directory, credentials_file)
    admin = S3Account("admin", ("Admin", "Read", "Write", "List", "Tagging"), credentials_file)
    return s3_server(directory, [admin])


async def _make_buckets(backbone: Backbone) -> None:
    """Make the buckets; in MinIO as an installation's job does it, with every service's least-privilege account."""
    settings = backbone.s3_settings()
    if not minio.wanted():
        await bootstrap_s3(settings)
        return
    for name in S3_ACTIONS:
        minio.new_credentials(backbone.s3_secrets / f"{name}.json", name)
    wanted = S3Setup(
        endpoint=settings.s3_endpoint, region=settings.s3_region, footage_bucket=FOOTAGE_BUCKET,
        audit_bucket=AUDIT_BUCKET, audit_lock_days=AUDIT_LOCK_DAYS, accounts=True,
    )  # fmt: skip
    await set_up_object_store(wanted, backbone.s3_secrets)


@asynccontextmanager
async def open_platform(service: str, clock: Clock | None = None) -> AsyncIterator[Platform]:
    """Give a service what its process would: telemetry of its own and a clock."""
    telemetry = Telemetry(service, "test")
    try:
        yield Platform(telemetry, clock or SystemClock(), Metrics(service))
    finally:
        await asyncio.to_thread(telemetry.close)


def free_port() -> int:
    """Return a loopback port for a server that must be told one."""
    return free_ports(1)[0]


async def eventually(condition: Callable[[], Any], seconds: float = 15.0, what: str = "the condition") -> Any:
    """Wait until a condition (plain or async) is true and return its value; AssertionError when it does not come."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        if loop.time() > until:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        await asyncio.sleep(0.02)
