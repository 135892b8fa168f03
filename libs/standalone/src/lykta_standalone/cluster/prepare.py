"""Makes what pods need before they start: certificates, signing keys, keys of controllers, passwords; repeatable."""

import base64
import json
import secrets
from collections.abc import Callable
from functools import partial
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError, invalid
from lykta_common.logging import get_logger

from lykta_standalone.cluster.authority import Authority
from lykta_standalone.cluster.plan import ControllerKeys, PreparePlan, S3Secrets, SigningKeys
from lykta_standalone.cluster.secret_store import TLS, Kind, SecretStore
from lykta_standalone.cluster.table import S3_ACTIONS
from lykta_standalone.credentials import verifier_key
from lykta_standalone.municipality import demo_cameras

log = get_logger(__name__)

CAMERA_USER: Final = "lykta"
_AUDIT_KEY: Final = "audit-log"


async def prepare(plan: PreparePlan, store: SecretStore, clock: Clock) -> None:
    """Make every Secret of the plan that is missing; only certificates are ever replaced.

    Raises PlatformError FAILED_PRECONDITION, before anything is made, when a Secret that others bring is not there.
    """
    await _require(plan, store)
    await _signing_keys(plan.signing_keys, store)
    await _controller_keys(plan.controller_keys, store)
    for entry in plan.passwords:
        if entry.secret:
            await store.ensure(entry.secret, dict.fromkeys(entry.keys, password))
    await _s3(plan.s3, store)
    if plan.camera_credentials.secret:
        await store.ensure(plan.camera_credentials.secret, {"cameras.json": _camera_credentials})
    if plan.certificates:
        await _certificates(plan, store, clock)
    log.info("cluster_prepared", namespace=plan.namespace)


async def _require(plan: PreparePlan, store: SecretStore) -> None:
    lacking = []
    for wanted in plan.required:
        found = await store.get(wanted.secret)
        missing = [key for key in wanted.keys if not (found or {}).get(key)]
        if found is None:
            lacking.append(f"{wanted.value} names the Secret {wanted.secret}, which is not there")
        elif missing:
            lacking.append(f"{wanted.value} names the Secret {wanted.secret}, which lacks {', '.join(missing)}")
    if lacking:
        keys = "; ".join(f"{wanted.secret}: {', '.join(wanted.keys)}" for wanted in plan.required)
        message = f"{'; '.join(lacking)}. Make it in the namespace {plan.namespace} with its files ({keys}), then again"
        raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)


def password() -> bytes:
    """Make a password of 192 bits; it begins with a letter, because NATS reads a bare digit as a number."""
    return b"p" + secrets.token_hex(24).encode()


async def _certificates(plan: PreparePlan, store: SecretStore, clock: Clock) -> None:
    now = clock.now()
    authority = await _authority(plan, store, clock)
    for wanted in plan.certificates:
        if not wanted.dns_names:
            raise invalid(f"the plan names no DNS name for the workload {wanted.workload}")
        found = await store.get(wanted.secret)
        if found is not None and authority.still_good(found, wanted.dns_names, plan.leaf_days, now):
            continue
        issued = authority.issue(wanted.workload, wanted.dns_names, plan.leaf_days, now)
        await store.put(wanted.secret, issued, Kind(TLS))
        log.info("certificate_issued", workload=wanted.workload, renewed=found is not None)


async def _authority(plan: PreparePlan, store: SecretStore, clock: Clock) -> Authority:
    found = await store.get(plan.authority.secret)
    if found and found.get("tls.crt"):
        return Authority.load(found["tls.crt"], found.get("tls.key", b""))
    made = Authority.new(f"Lykta {plan.namespace}", plan.authority.days, clock.now())
    files = {"ca.crt": made.pem, "tls.crt": made.pem, "tls.key": made.key_pem}
    await store.put(plan.authority.secret, files, Kind(TLS, kept=True))
    log.info("authority_made", days=plan.authority.days)
    return made


async def _signing_keys(wanted: SigningKeys, store: SecretStore) -> None:
    private = await store.ensure(wanted.secret, {f"{name}.pem": _signing_key for name in wanted.names}, Kind(kept=True))
    public: dict[str, Callable[[], bytes]] = {}
    for name in wanted.names:
        key = serialization.load_pem_private_key(private[f"{name}.pem"], password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise invalid(f"the key {name}.pem in the Secret {wanted.secret} is not an Ed25519 key")
        public[f"{name}.pub.pem"] = partial(_public_pem, key)
        if name == _AUDIT_KEY:
            public["audit-log.vkey"] = partial(_verifier_key, wanted.log_origin, key)
    await store.ensure(wanted.public_secret, public, Kind(kept=True))


async def _controller_keys(wanted: ControllerKeys, store: SecretStore) -> None:
    if wanted.secret:
        keys = {f"{name}.key": _key_encryption_key for name in wanted.controllers}
        await store.ensure(wanted.secret, keys, Kind(kept=True))


async def _s3(wanted: S3Secrets, store: SecretStore) -> None:
    if not wanted.root_secret:
        return
    root = await store.ensure(wanted.root_secret, {"access-key": lambda: b"lykta-root", "secret-key": password})
    document = partial(_account, root["access-key"].decode(), root["secret-key"].decode())
    await store.ensure(wanted.root_secret, {"bootstrap.json": document})
    accounts = {f"{name}.json": partial(_account, name, password().decode()) for name in S3_ACTIONS}
    await store.ensure(wanted.accounts_secret, accounts)


def _account(access_key: str, secret_key: str) -> bytes:
    return json.dumps({"access_key": access_key, "secret_key": secret_key}).encode()


def _camera_credentials() -> bytes:
    entry = {"username": CAMERA_USER, "password": password().decode()}
    return json.dumps({camera.camera: entry for camera in demo_cameras()}).encode()


def _signing_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _verifier_key(origin: str, key: Ed25519PrivateKey) -> bytes:
    return verifier_key(origin, key.public_key()).encode()


def _key_encryption_key() -> bytes:
    return base64.b64encode(secrets.token_bytes(32)) + b"\n"
