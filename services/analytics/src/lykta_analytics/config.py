"""Settings of analytics."""

from pathlib import Path

from lykta_common.config import DatabaseSettings, ServiceSettings
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class Settings(ServiceSettings, DatabaseSettings):
    """What analytics needs; environment variables `LYKTA_ANALYTICS__…`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="LYKTA_ANALYTICS__")

    mandate_verify_key_file: Path = Field(
        description="PEM public key, or directory of *.pub.pem, that verifies mandate orders; its stem is the key id"
    )
    access_control_address: str = Field(description="host:port of access-control, asked about every person's request")
    model_cache_dir: Path = Field(description="directory of the model registry (`python -m lykta_analytics.models`)")
    queue_parts: int = Field(
        default=8, ge=2, le=64, description="live parts waiting per camera; when full, the oldest go up to a key part"
    )
    stale_seconds: float = Field(
        default=60.0,
        ge=5,
        le=600,
        description="open incidents of a camera end this long after its last picture, seconds",
    )
