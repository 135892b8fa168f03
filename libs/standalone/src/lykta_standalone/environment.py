"""The settings of each service on this machine, as the environment variables that its process gets."""

import importlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lykta_common.config import ServiceSettings
from lykta_common.errors import Code, PlatformError

from lykta_standalone.bootstrap import AUDIT_BUCKET, FOOTAGE_BUCKET
from lykta_standalone.credentials import (
    AUDIT_ORIGIN,
    RECORDER_KEY,
    nats_password,
    private_key,
    public_key,
    s3_credentials,
)
from lykta_standalone.layout import Layout
from lykta_standalone.ports import LOOPBACK
from lykta_standalone.registry import Service

OIDC_AUDIENCE: Final = "lykta"
PLATFORM_OPERATOR: Final = "drift"
"""OIDC subject of the demo person who runs the platform and creates controllers."""

_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
"""What a service's process inherits; nothing else of the caller's environment reaches it."""


@dataclass(frozen=True)
class Surroundings:
    """What the settings of services are made from."""

    layout: Layout
    ports: Mapping[str, int]
    issuer: str
    model_dir: Path
    camera_allow: tuple[str, ...] = ("127.0.0.0/8",)
    otlp_endpoint: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that win, e.g. `LYKTA_INGEST__SPOOL_LIMIT_MIB`."""


def service_environment(service: Service, around: Surroundings) -> dict[str, str]:
    """Return the environment of a service's process; raises PlatformError when a setting it needs is not known here."""
    settings: type[ServiceSettings] = importlib.import_module(f"{service.package}.config").Settings
    prefix = str(settings.model_config.get("env_prefix", ""))
    values = {**_common(service, around), **_own(service.name, around)}
    missing = [name for name, item in settings.model_fields.items() if item.is_required() and name not in values]
    if missing:
        what = f"{service.name} needs settings that lykta up does not know: {', '.join(missing)}"
        raise PlatformError(Code.INTERNAL, "INTERNAL", what)
    found = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    found |= {(prefix + name).upper(): _text(values[name]) for name in settings.model_fields if name in values}
    found |= {name: value for name, value in around.overrides.items() if name.upper().startswith(prefix.upper())}
    return found | {"PYTHONUNBUFFERED": "1"}


def grpc_address(around: Surroundings, service: str) -> str:
    """Return where a service serves gRPC."""
    return f"{LOOPBACK}:{around.ports[service]}"


def _common(service: Service, around: Surroundings) -> dict[str, Any]:
    layout, name = around.layout, service.name
    directory = layout.service(name)
    return {
        "profile": "development",
        "replica": "0",
        "state_dir": directory,
        "nats_url": f"tls://{LOOPBACK}:{around.ports['nats']}",
        "nats_user": name,
        "nats_password_file": nats_password(layout, name),
        "tls_ca_file": layout.pki / "ca.pem",
        "tls_certificate_file": layout.pki / f"{name}.pem",
        "tls_key_file": layout.pki / f"{name}.key",
        "grpc_listen": grpc_address(around, name),
        "otlp_endpoint": around.otlp_endpoint,
        "database_url": f"sqlite+aiosqlite:///{directory}/rows.db",
        "s3_endpoint": f"http://{LOOPBACK}:{around.ports['s3']}",
        "s3_credentials_file": s3_credentials(layout, name),
        "access_control_address": grpc_address(around, "access-control"),
        "audit_address": grpc_address(around, "audit"),
        "mandate_verify_key_file": public_key(layout, "mandate"),
        "bucket_footage": FOOTAGE_BUCKET,
        "bucket_audit": AUDIT_BUCKET,
    }


def _own(name: str, around: Surroundings) -> dict[str, Any]:
    layout = around.layout
    settings: dict[str, dict[str, Any]] = {
        "ingest": {
            "media_key_verify_key_file": public_key(layout, "media-key"),
            "seal_signing_key_file": private_key(layout, RECORDER_KEY),
            "camera_credentials_file": layout.secrets / "cameras.json",
            "camera_allow": around.camera_allow,
            "spool_dir": layout.service(name) / "spool",
            "spool_limit_mib": 2048,
        },
        "storage": {
            "media_key_signing_key_file": private_key(layout, "media-key"),
            "grant_verify_key_file": public_key(layout, "grant"),
            "seal_verify_key_file": public_key(layout, RECORDER_KEY).parent,
            "kek_dir": layout.secrets / "kek",
            "kek_create": True,
            "allow_key_export": True,
        },
        "access-control": {
            "mandate_signing_key_file": private_key(layout, "mandate"),
            "grant_signing_key_file": private_key(layout, "grant"),
            "oidc_issuer": around.issuer,
            "oidc_audience": OIDC_AUDIENCE,
            "oidc_ca_file": layout.pki / "ca.pem",
            "platform_operators": (PLATFORM_OPERATOR,),
        },
        "audit": {
            "log_origin": AUDIT_ORIGIN,
            "log_signing_key_file": private_key(layout, "audit-log"),
        },
        "analytics": {
            "model_cache_dir": around.model_dir,
        },
    }
    return settings[name]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return json.dumps(list(value))
    return str(value)
