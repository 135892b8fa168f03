"""Keys, passwords and accounts of one platform: made once, kept in the state directory, readable by its owner only."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from lykta_common.signing import Verifier, new_key_pair
from lykta_contracts.permissions import all_permissions, subscriber_permissions

from lykta_standalone.bootstrap import AUDIT_BUCKET, FOOTAGE_BUCKET
from lykta_standalone.layout import Layout
from lykta_standalone.secret_files import write_secret
from lykta_standalone.servers import NatsAccount, S3Account

RECORDER_KEY: Final = "recorder-0"
SIGNING_KEYS: Final = ("mandate", "grant", "media-key", "audit-log", RECORDER_KEY)
AUDIT_ORIGIN: Final = "lykta.localhost/log"
_ED25519: Final = b"\x01"
"""Algorithm byte of Ed25519 keys in signed notes (C2SP signed-note)."""


def make_signing_keys(layout: Layout) -> None:
    """Make every signing key that does not exist yet; public halves lie in `keys/`."""
    for name in SIGNING_KEYS:
        new_key_pair(private_key(layout, name), public_key(layout, name))


def private_key(layout: Layout, name: str) -> Path:
    """Return the PEM file of a private signing key; its stem is the key id."""
    return layout.secrets / f"{name}.pem"


def public_key(layout: Layout, name: str) -> Path:
    """Return the PEM file of a public key; recorders' keys have a directory of their own."""
    folder = layout.keys / "seal" if name == RECORDER_KEY else layout.keys
    return folder / f"{name}.pub.pem"


def audit_verifier_key(layout: Layout) -> str:
    """Return the log's verifier key, `name+id+base64` (C2SP signed-note)."""
    key = next(iter(Verifier.from_file(public_key(layout, "audit-log")).keys.values()))
    return verifier_key(AUDIT_ORIGIN, key)


def verifier_key(origin: str, key: Ed25519PublicKey) -> str:
    """Write a public key as the verifier key of a signed note."""
    raw = _ED25519 + key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    key_id = hashlib.sha256(origin.encode() + b"\n" + raw).hexdigest()[:8]
    return f"{origin}+{key_id}+{base64.b64encode(raw).decode()}"


def nats_accounts(layout: Layout, subscribers: dict[str, str]) -> list[NatsAccount]:
    """Return every NATS user with the file of its password; `subscribers` is user → controller."""
    permissions = [*all_permissions(), *(subscriber_permissions(user, of) for user, of in subscribers.items())]
    return [NatsAccount(item, nats_password(layout, item.user)) for item in permissions]


def nats_password(layout: Layout, user: str) -> Path:
    """Return the file with a NATS user's password."""
    return layout.secrets / f"nats-{user}"


def s3_accounts(layout: Layout) -> list[S3Account]:
    """Return the S3 users: each service reaches its own bucket, `reader` reads, `admin` makes the buckets."""

    def on(bucket: str, *actions: str) -> tuple[str, ...]:
        return tuple(f"{action}:{bucket}" for action in actions)

    rights = {
        "admin": ("Admin", "Read", "Write", "List", "Tagging"),
        "ingest": on(FOOTAGE_BUCKET, "Read", "Write", "List"),
        "storage": on(FOOTAGE_BUCKET, "Read", "Write", "List", "Tagging"),
        "audit": on(AUDIT_BUCKET, "Read", "Write", "List", "Tagging", "Admin"),
        "reader": on(FOOTAGE_BUCKET, "Read", "List") + on(AUDIT_BUCKET, "Read", "List"),
    }
    return [S3Account(name, actions, s3_credentials(layout, name)) for name, actions in rights.items()]


def s3_credentials(layout: Layout, name: str) -> Path:
    """Return the JSON file with an S3 user's access_key and secret_key."""
    return layout.secrets / f"s3-{name}.json"


def read_camera_credentials(path: Path) -> dict[str, dict[str, str]]:
    """Return the recorder's camera credentials by reference; none when there is no file yet."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write_camera_credentials(path: Path, entries: dict[str, dict[str, str]]) -> None:
    """Write the recorder's camera credentials: reference → username and password."""
    write_secret(path, json.dumps(entries, indent=1, sort_keys=True) + "\n")
