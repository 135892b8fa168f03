"""Settings of the audit service."""

from pathlib import Path

from lykta_common.config import DatabaseSettings, ObjectStoreSettings, ServiceSettings
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class Settings(ServiceSettings, DatabaseSettings, ObjectStoreSettings):
    """Settings of the audit service, from the environment (`LYKTA_AUDIT__…`)."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="LYKTA_AUDIT__")

    log_origin: str = Field(
        pattern=r"^[^\s+]{1,200}$",
        description="the log's name in checkpoints and verifier key, e.g. lykta.example/log",
    )
    log_signing_key_file: Path = Field(description="PEM file (PKCS #8) of the Ed25519 key that signs checkpoints")
    bucket_audit: str = Field(default="lykta-audit", description="S3 bucket of the log, with object lock")
    access_control_address: str = Field(description="host:port of access-control, which decides who may search")
    publish_interval_ms: int = Field(
        default=500, ge=50, le=1000, description="least time between two checkpoints of a growing log, milliseconds"
    )
    lease_ms: int = Field(
        default=3000, ge=500, le=60_000, description="how long a writer that fell silent keeps others out, milliseconds"
    )
    inspection_interval_hours: float = Field(
        default=24, gt=0, le=720, description="how often the whole database is checked against the log, hours"
    )
