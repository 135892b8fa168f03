"""Settings: one frozen object per service, read once from the environment; unknown keys are refused."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lykta_common.errors import invalid


class ServiceSettings(BaseSettings):
    """What every service needs; a service adds its own and sets `env_prefix`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    profile: Literal["development", "production"] = Field(
        default="production", description="production refuses every stand-in and every test tool's right"
    )
    replica: str = Field(default="0", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="name of this replica")
    state_dir: Path = Field(description="directory this replica may write to")
    nats_url: str = Field(description="tls://host:port of NATS")
    nats_user: str = Field(description="NATS user of this service")
    nats_password_file: Path = Field(description="file with the NATS user's password")
    tls_ca_file: Path = Field(description="PEM file of the certificate authority")
    tls_certificate_file: Path = Field(description="PEM file of this workload's certificate")
    tls_key_file: Path = Field(description="PEM file of this workload's private key")
    grpc_listen: str = Field(default="127.0.0.1:0", description="host:port to serve gRPC on; port 0 picks a free one")
    health_listen: str = Field(
        default="",
        description="host:port for gRPC health without TLS (a kubelet's probe has no certificate); empty serves none",
    )
    metrics_listen: str = Field(default="", description="host:port to serve Prometheus metrics on; empty serves none")
    otlp_endpoint: str = Field(default="", description="host:port of an OTLP/gRPC collector; empty turns tracing off")
    log_format: Literal["json", "console"] = Field(default="json", description="json for machines, console for people")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least level logged")


class DatabaseSettings(BaseSettings):
    """Where a service keeps its rows."""

    database_url: str = Field(description="SQLAlchemy URL: sqlite+aiosqlite:///path or postgresql+asyncpg://…")


class ObjectStoreSettings(BaseSettings):
    """Where the S3 store is."""

    s3_endpoint: str = Field(description="https://host:port of the S3 store; http:// only on loopback")
    s3_region: str = Field(default="us-east-1", description="S3 region")
    s3_credentials_file: Path = Field(description="JSON file with access_key and secret_key")

    @field_validator("s3_endpoint")
    @classmethod
    def _encrypted_or_loopback(cls, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")):
            return endpoint
        raise ValueError("must be https://; http:// is for loopback only (docs/decisions/0008)")


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def load_settings(settings_type: type[SettingsT], environment: Mapping[str, str] = os.environ) -> SettingsT:
    """Read the settings from the environment.

    Raises PlatformError INVALID_FIELD that names each key that is missing, malformed or unknown.
    """
    prefix = settings_type.model_config.get("env_prefix", "")
    known = {(prefix + name).upper() for name in settings_type.model_fields}
    unknown = sorted(key for key in environment if key.upper().startswith(prefix) and key.upper() not in known)
    if unknown:
        raise invalid(f"unknown settings: {', '.join(unknown)}; see docs/config.md")
    values = {
        name: environment[(prefix + name).upper()]
        for name in settings_type.model_fields
        if (prefix + name).upper() in environment
    }
    try:
        return settings_type.model_validate(values, strict=False)
    except ValidationError as error:
        lines = (f"{prefix}{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_url=False))
        raise invalid("settings: " + "; ".join(lines)) from error


def read_secret(path: Path) -> str:
    """Read a secret from its file, without the trailing newline; raises PlatformError that names the file."""
    try:
        return path.read_text().strip()
    except OSError as error:
        raise invalid(f"cannot read the secret file {path}: {error.strerror}") from error
