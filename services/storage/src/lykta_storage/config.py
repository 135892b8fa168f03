"""The settings of storage."""

from pathlib import Path

from lykta_common.config import DatabaseSettings, ObjectStoreSettings, ServiceSettings
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class Settings(ServiceSettings, DatabaseSettings, ObjectStoreSettings):
    """Everything storage is told from outside."""

    model_config = SettingsConfigDict(env_prefix="LYKTA_STORAGE__", frozen=True, extra="forbid")

    bucket_footage: str = Field(default="lykta-footage", description="bucket of segment objects")
    access_control_address: str = Field(description="host:port of access-control")
    audit_address: str = Field(description="host:port of audit")
    media_key_signing_key_file: Path = Field(description="PEM private key that signs media keys (Ed25519)")
    mandate_verify_key_file: Path = Field(
        description="PEM public key that verifies mandate orders, or a folder of *.pub.pem"
    )
    grant_verify_key_file: Path = Field(description="PEM public key that verifies grant tokens")
    seal_verify_key_file: Path = Field(description="PEM public key that verifies hour seals, or a folder of *.pub.pem")
    kek_dir: Path = Field(description="folder with <controller>.key: 32 bytes in base64 that wrap hour keys")
    kek_create: bool = Field(default=False, description="make a controller's key file when it is missing")
    key_horizon_hours: int = Field(default=48, ge=1, le=24 * 14, description="hours ahead with published media keys")
    allow_key_export: bool = Field(
        default=False, description="let the workload test-tool fetch hour keys; refused in the production profile"
    )
    recheck_seconds: float = Field(default=0.5, gt=0, le=1, description="time between checks of an open playback")
    recheck_limit_seconds: float = Field(
        default=5.0, gt=0, le=60, description="a playback ends when access-control has not confirmed it for this long"
    )
    most_playbacks: int = Field(default=64, ge=1, le=1000, description="playbacks open at once; more are refused")
    credit_wait_seconds: float = Field(
        default=600.0, gt=0, le=3600, description="a playback ends when its client gives no credit for this long"
    )
    retention_seconds: float = Field(default=60.0, gt=0, le=3600, description="time between retention rounds")
    sealing_seconds: float = Field(default=60.0, gt=0, le=3600, description="time between rounds that log hour roots")
