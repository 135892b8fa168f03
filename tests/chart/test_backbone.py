"""The bundled servers run with what the chart renders for them: real NATS, MinIO, PostgreSQL, and certificates."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from lykta_common.tls import TlsFiles, client_context
from lykta_contracts.permissions import all_permissions
from lykta_standalone.cluster.plan import NatsSetup, PreparePlan, SetupPlan
from lykta_standalone.cluster.prepare import prepare
from lykta_standalone.cluster.secret_store import SecretStore
from lykta_standalone.cluster.setup import set_up_nats
from lykta_standalone.ports import free_ports
from lykta_standalone.servers import Server
from lykta_testing.clock import ManualClock

from tests.chart.conftest import Objects, objects_of, of_kind

pytestmark = pytest.mark.timeout(180)
LOOPBACK = ("localhost", "127.0.0.1")


class Namespace:
    """Secrets in memory, behind the calls of the Kubernetes API that the jobs make."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        name = request.url.path.rpartition("/secrets")[2].strip("/")
        if request.method == "POST":
            body = json.loads(request.content)
            self.secrets[body["metadata"]["name"]] = body["data"]
            return httpx.Response(201, json=body)
        if name not in self.secrets:
            return httpx.Response(404, json={})
        if request.method == "PATCH":
            self.secrets[name] |= json.loads(request.content)["data"]
        return httpx.Response(200, json={"data": self.secrets[name]})


@dataclass
class Installation:
    """An installation's rendered objects and prepared Secrets, unpacked below a directory."""

    objects: Objects
    secrets: dict[str, dict[str, bytes]]
    directory: Path

    def unpack(self, secret: str, folder: str) -> Path:
        """Write a Secret's files into a folder, as a volume would show them."""
        target = self.directory / folder
        target.mkdir(parents=True, exist_ok=True)
        for name, content in self.secrets[secret].items():
            (target / name).write_bytes(content)
            (target / name).chmod(0o640)
        return target

    def tls(self, workload: str) -> TlsFiles:
        """Return a workload's certificate files."""
        folder = self.unpack(f"demo-{workload}-tls", f"tls-{workload}")
        return TlsFiles(folder / "ca.crt", folder / "tls.crt", folder / "tls.key")

    def configuration(self, name: str) -> dict[str, str]:
        """Return the files of a ConfigMap."""
        return dict(of_kind(self.objects, "ConfigMap")[name]["data"])

    def container(self, name: str) -> dict[str, Any]:
        """Return the container of a StatefulSet."""
        return dict(of_kind(self.objects, "StatefulSet")[name]["spec"]["template"]["spec"]["containers"][0])


@pytest.fixture
async def installation(tmp_path: Path) -> Installation:
    """The evaluation, prepared by its own job; its certificates also name loopback, where the tests reach it."""
    objects = objects_of("evaluation")
    document = json.loads(of_kind(objects, "ConfigMap")["demo-prepare"]["data"]["plan.json"])
    for certificate in document["certificates"]:
        certificate["dns_names"].append("localhost")
    namespace = Namespace()
    transport = httpx.MockTransport(namespace.answer)
    async with httpx.AsyncClient(transport=transport, base_url="https://api") as client:
        plan = PreparePlan.model_validate(document, strict=False)
        await prepare(plan, SecretStore(client, "town", plan.labels), ManualClock(datetime.now(UTC)))
    decoded = {
        name: {key: base64.b64decode(value) for key, value in files.items()}
        for name, files in namespace.secrets.items()
    }
    return Installation(objects, decoded, tmp_path)


async def test_nats_serves_each_user_what_the_code_allows(installation: Installation, tmp_path: Path) -> None:
    """NATS starts on the rendered configuration, setup makes its streams, and each user may do its own work only."""
    port, monitor = free_ports(2)
    text = installation.configuration("demo-nats")["nats.conf"]
    text = text.replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace("0.0.0.0:8222", f"127.0.0.1:{monitor}")
    text = text.replace("/etc/lykta/tls", str(installation.tls("nats").ca.parent))
    text = text.replace("/var/lib/lykta", str(tmp_path / "state"))
    (tmp_path / "nats.conf").write_text(text)
    passwords = installation.secrets["demo-nats-users"]
    environment = {"POD_NAME": "demo-nats-0"}
    environment |= {
        entry["name"]: passwords[entry["valueFrom"]["secretKeyRef"]["key"]].decode()
        for entry in installation.container("demo-nats")["env"]
        if "secretKeyRef" in entry["valueFrom"]
    }
    binary = str(Path(sys.executable).with_name("nats-server"))
    server = Server("nats", [binary, "-c", str(tmp_path / "nats.conf")], tmp_path, port, environment=environment)
    await server.start()
    try:
        url = f"tls://localhost:{port}"
        (tmp_path / "nats-password").write_bytes(passwords["bootstrap"])
        plan = json.loads(installation.configuration("demo-setup")["plan.json"])
        wanted = SetupPlan.model_validate(plan, strict=False).model_copy(
            update={"nats": NatsSetup(url=url, replicas=1)}
        )
        await set_up_nats(wanted.nats, tmp_path / "nats-password", installation.tls("setup"))
        async with httpx.AsyncClient(trust_env=False) as client:
            probe = installation.container("demo-nats")["readinessProbe"]["httpGet"]["path"]
            assert (await client.get(f"http://127.0.0.1:{monitor}{probe}")).status_code == 200
        for user in all_permissions():
            if user.user != "bootstrap":
                await _check_nats_user(url, user.user, passwords[user.user].decode(), installation.tls(user.user))
    finally:
        await server.stop()


async def _check_nats_user(url: str, user: str, password: str, tls: TlsFiles) -> None:
    refusals: list[str] = []
    arrived = asyncio.Event()

    async def on_error(error: Exception) -> None:
        refusals.append(str(error))
        arrived.set()

    client = await nats.connect(
        url, user=user, password=password, tls=client_context(tls), inbox_prefix=f"_INBOX.{user}", error_cb=on_error
    )
    try:
        await client.jetstream().stream_info("AUDIT")
        await client.publish("lykta.v1.ks.audit.observed", b"{}")
        await client.flush()
        assert not refusals
        await client.publish(
            "lykta.v1.ks.checkpoint.forged.x" if user != "audit" else "lykta.v1.ks.incident.opened", b""
        )
        async with asyncio.timeout(10):
            await arrived.wait()
        assert "permissions violation" in refusals[0].lower()
    finally:
        await client.close()


def minio_binary() -> str:
    """Return a MinIO server; skips with what to run where there is none."""
    cache = Path(os.environ.get("LYKTA_CACHE") or Path.home() / ".cache" / "lykta")
    kept = sorted((cache / "tools").glob("minio-*/minio"))
    found = shutil.which("minio") or (str(kept[-1]) if kept else None)
    if found is None:
        pytest.skip("no MinIO server; `make images` builds one into ~/.cache/lykta")
    return found


async def test_minio_gives_each_account_its_own_bucket(installation: Installation, tmp_path: Path) -> None:
    """MinIO starts with the rendered arguments; setup makes buckets and accounts; each reaches its own bucket only."""
    (port,) = free_ports(1)
    container = installation.container("demo-minio")
    certificates = tmp_path / "certs"
    (certificates / "CAs").mkdir(parents=True)
    tls = installation.tls("minio")
    shutil.copy(tls.certificate, certificates / "public.crt")
    shutil.copy(tls.key, certificates / "private.key")
    shutil.copy(tls.ca, certificates / "CAs" / "ca.crt")
    root = installation.unpack("demo-s3-root", "root")
    places = {
        "/var/lib/lykta/objects": str(tmp_path / "objects"),
        ":9000": f"127.0.0.1:{port}",
        "/etc/minio/certs": str(certificates),
        "/etc/minio/root": str(root),
        "/tmp": str(tmp_path),
    }

    def placed(text: str) -> str:
        for old, new in places.items():
            if text == old or text.startswith(f"{old}/"):
                return new + text.removeprefix(old)
        return text

    arguments = [minio_binary(), *map(placed, container["args"])]
    environment = {entry["name"]: placed(entry["value"]) for entry in container["env"]}
    server = Server("minio", arguments, tmp_path, port, environment=environment | {"PATH": "/usr/bin:/bin"})
    await server.start()
    try:
        plan = json.loads(installation.configuration("demo-setup")["plan.json"])
        plan["s3"]["endpoint"] = f"https://localhost:{port}"
        accounts = installation.unpack("demo-s3-accounts", "s3")
        shutil.copy(root / "bootstrap.json", accounts / "bootstrap.json")
        script = tmp_path / "check.py"
        script.write_text(_S3_CHECK)
        # A process of its own: the CA comes by environment, as it does in the pods.
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(script), json.dumps(plan["s3"]), str(accounts)],
            env={"SSL_CERT_FILE": str(tls.ca), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        await server.stop()


_S3_CHECK = '''
"""Makes buckets and accounts twice, then tries each account at both buckets."""
import asyncio, json, sys
from pathlib import Path
from lykta_common.config import ObjectStoreSettings
from lykta_common.errors import PlatformError
from lykta_common.objectstore import open_admin, open_bucket
from lykta_standalone.cluster import setup
from lykta_standalone.cluster.plan import S3Setup

wanted, folder = S3Setup.model_validate_json(sys.argv[1]), Path(sys.argv[2])

def settings(account):
    return ObjectStoreSettings(
        s3_endpoint=wanted.endpoint, s3_region=wanted.region, s3_credentials_file=folder / f"{account}.json")

async def refused(work, what):
    try:
        await work
    except PlatformError:
        return
    raise SystemExit(f"{what} was allowed")

async def main():
    for _ in range(2):
        await setup.set_up_object_store(wanted, folder)
    ingest = open_bucket(settings("ingest"), wanted.footage_bucket)
    assert await ingest.put_if_absent("v1/a", b"one")
    assert not await ingest.put_if_absent("v1/a", b"two")
    await refused(ingest.delete("v1/a"), "deleting by ingest")
    await refused(ingest.get("v1/a"), "reading by ingest")
    storage = open_bucket(settings("storage"), wanted.footage_bucket)
    await storage.ping()
    assert await storage.get("v1/a") == b"one"
    assert [item.key async for item in storage.list("v1/")] == ["v1/a"]
    await refused(storage.put("v1/b", b""), "writing by storage")
    found = open_admin(settings("storage")).list_objects(
        wanted.footage_bucket, prefix="v1/a", recursive=True, include_version=True)
    assert [item.object_name for item in found] == ["v1/a"]
    await storage.delete("v1/a")
    audit = open_bucket(settings("audit"), wanted.audit_bucket)
    await audit.put("checkpoint", b"one")
    await audit.put("checkpoint", b"two")
    assert open_admin(settings("audit")).get_object_lock_config(wanted.audit_bucket).mode == "COMPLIANCE"
    reader = open_bucket(settings("reader"), wanted.audit_bucket)
    assert await reader.get("checkpoint") == b"two"
    await refused(reader.put("checkpoint", b"three"), "writing by a reader")
    for account, bucket in (("ingest", wanted.audit_bucket), ("storage", wanted.audit_bucket),
                            ("audit", wanted.footage_bucket), ("reader", wanted.footage_bucket)):
        await refused(open_bucket(settings(account), bucket).get("checkpoint"), f"{account} at {bucket}")

asyncio.run(main())
'''


def postgres_folder() -> Path:
    """Return the folder of Debian's PostgreSQL; skips with what to install where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("no PostgreSQL server; install Debian's postgresql")
    return found[-1].parent


async def test_postgresql_lets_services_in_by_certificate(installation: Installation, tmp_path: Path) -> None:
    """PostgreSQL starts by the rendered script, twice; a service reaches its own database, with its certificate."""
    postgres_folder()
    runner = [] if os.getuid() else ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    (port,) = free_ports(1)
    files = installation.configuration("demo-postgresql")
    tls = installation.tls("postgresql")
    for folder in (tmp_path, tls.ca.parent, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    state = tmp_path / "state"
    state.mkdir(mode=0o777)
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (tls.ca.parent / name).chmod(0o600)
    if runner:
        for path in (state, tls.ca.parent, *tls.ca.parent.iterdir()):
            os.chown(path, 65534, 65534)
    configuration = tmp_path / "configuration"
    configuration.mkdir()
    places = {
        "/var/lib/lykta": str(state),
        "/etc/postgresql-lykta": str(configuration),
        "/etc/lykta/tls": str(tls.ca.parent),
        "port = 5432": f"port = {port}",
        "'/tmp'": f"'{state}'",
        "listen_addresses = '*'": "listen_addresses = '127.0.0.1'",
    }
    for name, text in files.items():
        for old, new in places.items():
            text = text.replace(old, new)
        (configuration / name).write_text(text)
    roles = {entry["name"]: entry["value"] for entry in installation.container("demo-postgresql")["env"]}
    environment = roles | {"PATH": "/usr/bin:/bin", "HOME": str(state), "LC_ALL": "C"}
    arguments = [*runner, "/bin/sh", str(configuration / "start.sh")]
    server = Server("postgresql", arguments, tmp_path, port, environment=environment)
    for _ in range(2):
        await server.start()
        try:
            await _check_database(installation, port, "audit", "audit", allowed=True)
            await _check_database(installation, port, "access-control", "access-control", allowed=True)
            await _check_database(installation, port, "audit", "storage", allowed=False)
            await _check_database(installation, port, "ingest", "ingest", allowed=False)
        finally:
            await server.stop(seconds=20)


async def _check_database(installation: Installation, port: int, workload: str, role: str, *, allowed: bool) -> None:
    tls = installation.tls(workload)
    url = f"postgresql+asyncpg://{role}@localhost:{port}/{role}?ssl=verify-full"
    environment = {"PGSSLROOTCERT": str(tls.ca), "PGSSLCERT": str(tls.certificate), "PGSSLKEY": str(tls.key)}
    script = f"""
import asyncio, pathlib
from lykta_common.database import open_database
import lykta_audit.store
async def main():
    async with open_database({url!r}, lykta_audit.store.MIGRATIONS) as database:
        await database.ping()
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], env=environment | {"PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode == 0) is allowed, f"{workload} as {role}: {done.stderr[-800:]}"
