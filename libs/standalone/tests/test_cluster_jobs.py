"""The chart's jobs on a Kubernetes API in memory, on a real NATS and on a real object store."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from lykta_common.errors import PlatformError
from lykta_common.signing import Signer, Verifier
from lykta_common.tls import workload_of
from lykta_contracts.permissions import BOOTSTRAP_USER, all_permissions
from lykta_standalone.cluster.__main__ import HOPELESS, main
from lykta_standalone.cluster.cleanup import cleanup
from lykta_standalone.cluster.plan import NatsSetup, PreparePlan, S3Setup, SetupPlan, read_plan
from lykta_standalone.cluster.prepare import prepare
from lykta_standalone.cluster.secret_store import SecretStore
from lykta_standalone.cluster.setup import setup
from lykta_standalone.cluster.table import S3_ACTIONS, s3_policy
from lykta_standalone.servers import NatsAccount, nats_server, nats_url, s3_url
from lykta_testing.clock import ManualClock
from lykta_testing.platform import Backbone

LABELS = {"app.kubernetes.io/managed-by": "lykta-prepare", "app.kubernetes.io/instance": "one"}
PLAN = {
    "namespace": "town",
    "labels": LABELS,
    "authority": {"secret": "one-ca", "days": 3650},
    "leaf_days": 90,
    "certificates": [
        {"workload": "audit", "secret": "one-audit-tls", "dns_names": ["audit", "one-audit", "one-audit.town.svc"]},
        {"workload": "nats", "secret": "one-nats-tls", "dns_names": ["nats", "one-nats"]},
    ],
    "signing_keys": {
        "secret": "one-signing-keys",
        "public_secret": "one-public-keys",
        "names": ["mandate", "audit-log"],
        "log_origin": "town.example/log",
    },
    "controller_keys": {"secret": "one-controller-keys", "controllers": ["ks"]},
    "passwords": [{"secret": "one-nats-users", "keys": ["ingest", "audit"]}, {"secret": "", "keys": ["x"]}],
    "s3": {"root_secret": "one-s3-root", "accounts_secret": "one-s3-accounts"},
    "camera_credentials": {"secret": "one-cameras"},
}


class Api:
    """The Secrets part of the Kubernetes API, in memory, with its status codes."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}
        self.refuse = False
        self.writes = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request as the API server does."""
        if self.refuse:
            return httpx.Response(403, json={"message": "secrets is forbidden"})
        name = request.url.path.split("/secrets")[1].strip("/")
        if request.method == "GET" and not name:
            wanted = dict(pair.split("=") for pair in request.url.params["labelSelector"].split(","))
            found = [s for s in self.secrets.values() if wanted.items() <= s["metadata"]["labels"].items()]
            return httpx.Response(200, json={"items": found})
        if request.method == "POST":
            body = json.loads(request.content)
            if body["metadata"]["name"] in self.secrets:
                return httpx.Response(409, json={"message": "exists"})
            self.writes += 1
            self.secrets[body["metadata"]["name"]] = body
            return httpx.Response(201, json=body)
        if name not in self.secrets:
            return httpx.Response(404, json={"message": "not found"})
        if request.method == "PATCH":
            self.writes += 1
            self.secrets[name]["data"] |= json.loads(request.content)["data"]
        if request.method == "DELETE":
            return httpx.Response(200, json=self.secrets.pop(name))
        return httpx.Response(200, json=self.secrets[name])

    def files(self, name: str) -> dict[str, bytes]:
        """Return a Secret's files."""
        return {key: base64.b64decode(value) for key, value in self.secrets[name]["data"].items()}


@pytest.fixture
def api() -> Api:
    """An empty namespace."""
    return Api()


@pytest.fixture
async def store(api: Api) -> AsyncIterator[SecretStore]:
    """Its Secrets as the jobs see them."""
    transport = httpx.MockTransport(api.answer)
    async with httpx.AsyncClient(transport=transport, base_url="https://api") as client:
        yield SecretStore(client, "town", LABELS)


def plan(**changes: Any) -> PreparePlan:
    """The plan of a small installation."""
    return PreparePlan.model_validate(PLAN | changes, strict=False)


async def test_prepare_makes_everything_once(api: Api, store: SecretStore) -> None:
    """A second run of prepare changes nothing: no key, no password, no certificate."""
    await prepare(plan(), store, ManualClock(datetime.now(UTC)))
    first, writes = json.dumps(api.secrets, sort_keys=True), api.writes
    await prepare(plan(), store, ManualClock(datetime.now(UTC)))
    assert json.dumps(api.secrets, sort_keys=True) == first
    assert api.writes == writes


async def test_certificates_name_workload_and_services(api: Api, store: SecretStore) -> None:
    """A certificate names its workload as URI, every DNS name of the plan, and is signed by the CA beside it."""
    await prepare(plan(), store, ManualClock(datetime.now(UTC)))
    files = api.files("one-audit-tls")
    certificate = x509.load_pem_x509_certificate(files["tls.crt"])
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(files["ca.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["audit", "one-audit", "one-audit.town.svc"]
    assert workload_of(files["tls.crt"]) == "audit"
    assert certificate.subject.rfc4514_string() == "CN=audit"  # the database knows its role by it
    assert api.secrets["one-audit-tls"]["type"] == "kubernetes.io/tls"


async def test_certificates_are_renewed_in_time(api: Api, store: SecretStore) -> None:
    """A certificate is renewed when less than a third of its life is left, and the CA stays."""
    clock = ManualClock(datetime.now(UTC))
    await prepare(plan(), store, clock)
    before, ca = api.files("one-audit-tls")["tls.crt"], api.files("one-ca")
    await clock.advance(timedelta(days=50))
    await prepare(plan(), store, clock)
    assert api.files("one-audit-tls")["tls.crt"] == before
    await clock.advance(timedelta(days=15))
    await prepare(plan(), store, clock)
    assert api.files("one-audit-tls")["tls.crt"] != before
    assert api.files("one-ca") == ca


async def test_a_new_name_renews_a_certificate(api: Api, store: SecretStore) -> None:
    """A certificate that lacks a name of the plan is issued anew."""
    clock = ManualClock(datetime.now(UTC))
    await prepare(plan(), store, clock)
    before = api.files("one-nats-tls")["tls.crt"]
    changed = [{"workload": "nats", "secret": "one-nats-tls", "dns_names": ["nats", "*.one-nats-headless.town.svc"]}]
    await prepare(plan(certificates=changed), store, clock)
    assert api.files("one-nats-tls")["tls.crt"] != before


async def test_a_broken_authority_is_named(api: Api, store: SecretStore) -> None:
    """A CA whose key is not its own stops the job with what to do, before any certificate is replaced."""
    clock = ManualClock(datetime.now(UTC))
    await prepare(plan(), store, clock)
    api.secrets["one-ca"]["data"]["tls.key"] = api.secrets["one-audit-tls"]["data"]["tls.key"]
    before = json.dumps(api.secrets, sort_keys=True)
    with pytest.raises(PlatformError, match="restore its Secret"):
        await prepare(plan(leaf_days=9), store, clock)
    assert json.dumps(api.secrets, sort_keys=True) == before


async def test_keys_fit_what_services_read(api: Api, store: SecretStore, tmp_path: Path) -> None:
    """Signing keys, controllers' keys, passwords and credentials have the forms that services read."""
    await prepare(plan(), store, ManualClock(datetime.now(UTC)))
    for name, content in (api.files("one-signing-keys") | api.files("one-public-keys")).items():
        (tmp_path / name).write_bytes(content)
    envelope = Signer.from_file(tmp_path / "mandate.pem").sign("text", b"payload")
    assert Verifier.from_file(tmp_path / "mandate.pub.pem").open("text", envelope) == b"payload"
    assert api.files("one-public-keys")["audit-log.vkey"].startswith(b"town.example/log+")
    assert len(base64.b64decode(api.files("one-controller-keys")["ks.key"], validate=False)) == 32
    passwords = api.files("one-nats-users")
    assert set(passwords) == {"ingest", "audit"}
    assert len(set(passwords.values())) == 2
    assert all(value[:1].isalpha() and len(value) > 40 for value in passwords.values())
    accounts = {name: json.loads(content) for name, content in api.files("one-s3-accounts").items()}
    assert set(accounts) == {f"{name}.json" for name in S3_ACTIONS}
    assert accounts["ingest.json"]["access_key"] == "ingest"
    root = json.loads(api.files("one-s3-root")["bootstrap.json"])
    assert root["secret_key"] == api.files("one-s3-root")["secret-key"].decode()
    serialization.load_pem_private_key((tmp_path / "audit-log.pem").read_bytes(), None)


async def test_a_new_controller_gets_a_key_and_the_others_keep_theirs(api: Api, store: SecretStore) -> None:
    """Adding a controller adds its key; a key that is there is never replaced."""
    clock = ManualClock(datetime.now(UTC))
    await prepare(plan(), store, clock)
    before = api.files("one-controller-keys")["ks.key"]
    more = {"secret": "one-controller-keys", "controllers": ["ks", "stangastaden"]}
    await prepare(plan(controller_keys=more), store, clock)
    after = api.files("one-controller-keys")
    assert after["ks.key"] == before
    assert after["stangastaden.key"] != before


async def test_external_servers_get_no_secrets(api: Api, store: SecretStore) -> None:
    """Where certificates, keys and servers are somebody else's, only signing keys are made."""
    external = {
        "certificates": [],
        "controller_keys": {"secret": "", "controllers": []},
        "passwords": [],
        "s3": {"root_secret": "", "accounts_secret": ""},
        "camera_credentials": {"secret": ""},
    }
    await prepare(plan(**external), store, ManualClock(datetime.now(UTC)))
    assert set(api.secrets) == {"one-signing-keys", "one-public-keys"}


async def test_a_missing_secret_of_others_is_named_before_anything_is_made(api: Api, store: SecretStore) -> None:
    """Prepare names the value, the Secret and the files that are not there, and has made nothing by then."""
    required = [{"value": "database.external.existingSecret", "secret": "urls", "keys": ["audit", "storage"]}]
    with pytest.raises(PlatformError, match="existingSecret names the Secret urls, which is not there"):
        await prepare(plan(required=required), store, ManualClock(datetime.now(UTC)))
    assert not api.writes
    api.secrets["urls"] = {"metadata": {"name": "urls", "labels": {}}, "data": {"audit": "eA=="}}
    with pytest.raises(PlatformError, match="which lacks storage"):
        await prepare(plan(required=required), store, ManualClock(datetime.now(UTC)))
    assert not api.writes
    api.secrets["urls"]["data"]["storage"] = "eA=="
    await prepare(plan(required=required), store, ManualClock(datetime.now(UTC)))
    assert api.writes


@pytest.mark.parametrize("content", ["{}", None])
def test_what_cannot_help_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    """A job whose plan is wrong ends with the exit code by which its Job gives up at once, and one line why."""
    if content is not None:
        (tmp_path / "plan.json").write_text(content)
    monkeypatch.setattr("sys.argv", ["cluster", "setup", str(tmp_path / "plan.json")])
    assert main() == HOPELESS
    assert "plan.json" in capsys.readouterr().err


async def test_a_refusal_of_the_api_is_told(api: Api, store: SecretStore) -> None:
    """A role that may not read Secrets is named as such."""
    api.refuse = True
    with pytest.raises(PlatformError, match="secrets is forbidden"):
        await prepare(plan(), store, ManualClock(datetime.now(UTC)))


@pytest.mark.parametrize("keep_keys", [True, False])
async def test_cleanup_takes_away_what_prepare_made(api: Api, store: SecretStore, keep_keys: bool) -> None:
    """Cleanup deletes this installation's Secrets; keys that open kept volumes stay when asked to; others' stay."""
    await prepare(plan(), store, ManualClock(datetime.now(UTC)))
    api.secrets["foreign"] = {"metadata": {"name": "foreign", "labels": {}}, "data": {}}
    await cleanup(store, "one", keep_keys=keep_keys)
    kept = {"one-ca", "one-signing-keys", "one-public-keys", "one-controller-keys"} if keep_keys else set()
    assert set(api.secrets) == kept | {"foreign"}


def test_a_wrong_plan_names_its_keys(tmp_path: Path) -> None:
    """A plan with a missing and an unknown key is refused with both names."""
    wrong = {"nats": {"url": "tls://x:1"}, "s3": {}, "surplus": 1}
    (tmp_path / "plan.json").write_text(json.dumps(wrong))
    with pytest.raises(PlatformError, match=r"nats\.replicas.*surplus"):
        read_plan(SetupPlan, tmp_path / "plan.json")


async def test_setup_can_run_twice(backbone: Backbone, tmp_path: Path) -> None:
    """Setup makes streams and buckets on real servers, and a second run changes nothing."""
    secrets = _secrets(backbone, tmp_path)
    for _ in range(2):
        await setup(_plan(backbone, "lykta-audit"), secrets, backbone.tls("setup"), seconds=20)


async def test_a_bucket_without_object_lock_is_refused(backbone: Backbone, tmp_path: Path) -> None:
    """A bucket for the log that has no object lock stops setup with the value to change."""
    with pytest.raises(ExceptionGroup) as caught:
        await setup(_plan(backbone, "lykta-footage"), _secrets(backbone, tmp_path), backbone.tls("setup"), seconds=20)
    assert "objectStore.buckets.audit" in str(caught.value.exceptions[0])


async def test_servers_that_do_not_come_are_named(backbone: Backbone, tmp_path: Path) -> None:
    """Setup gives up when its time is over, and says which server did not answer."""
    absent = _plan(backbone, "lykta-audit").model_copy(update={"nats": NatsSetup(url="tls://127.0.0.1:1", replicas=1)})
    with pytest.raises(ExceptionGroup) as caught:
        await setup(absent, _secrets(backbone, tmp_path), backbone.tls("setup"), seconds=0.1)
    assert "NATS at tls://127.0.0.1:1" in str(caught.value.exceptions[0])


async def test_a_nats_without_jetstream_is_named_as_such(backbone: Backbone, tmp_path: Path) -> None:
    """A NATS that answers and has no JetStream stops setup with what it lacks and where to turn it on."""
    bootstrap = next(user for user in all_permissions() if user.user == BOOTSTRAP_USER)
    account = NatsAccount(bootstrap, backbone.password_file(BOOTSTRAP_USER))
    server = nats_server(tmp_path / "plain", backbone.tls("nats"), [account])
    file = tmp_path / "plain" / "nats-server.json"
    file.write_text(
        json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key != "jetstream"})
    )
    await server.start()
    try:
        nats = NatsSetup(url=nats_url(server), replicas=1)
        plan = _plan(backbone, "lykta-audit").model_copy(update={"nats": nats})
        with pytest.raises(ExceptionGroup) as caught:
            await setup(plan, _secrets(backbone, tmp_path), backbone.tls("setup"), seconds=0.1)
    finally:
        await server.stop()
    assert f"NATS at {nats.url} has no JetStream" in str(caught.value.exceptions[0])
    assert "jetstream {}" in str(caught.value.exceptions[0])


def test_policies_reach_one_bucket_and_lift_no_lock() -> None:
    """An account's policy names its own bucket only, and no action that lifts a lock or makes a bucket."""
    buckets = {"footage": "f", "audit": "a"}
    for account, (role, _, _) in S3_ACTIONS.items():
        for statement in s3_policy(account, buckets)["Statement"]:
            assert all(arn.split(":::")[1].split("/")[0] == buckets[role] for arn in statement["Resource"])
            actions = " ".join(statement["Action"])
            assert not any(
                word in actions for word in ("*", "Bypass", "PutBucket", "PutObjectRetention", "CreateBucket")
            )
    assert {"ingest", "storage", "audit"} <= set(S3_ACTIONS) <= {user.user for user in all_permissions()} | {"reader"}


def _plan(backbone: Backbone, audit_bucket: str) -> SetupPlan:
    assert backbone.s3 is not None
    s3 = S3Setup(
        endpoint=s3_url(backbone.s3), region="us-east-1", footage_bucket="lykta-footage", audit_bucket=audit_bucket,
        audit_lock_days=1, accounts=False,
    )  # fmt: skip
    return SetupPlan(nats=NatsSetup(url=nats_url(backbone.nats), replicas=1), s3=s3)


def _secrets(backbone: Backbone, directory: Path) -> Path:
    (directory / "s3").mkdir(exist_ok=True)
    (directory / "s3" / "bootstrap.json").write_bytes(backbone.s3_credentials_file.read_bytes())
    (directory / "nats-password").write_bytes(backbone.password_file("bootstrap").read_bytes())
    return directory
