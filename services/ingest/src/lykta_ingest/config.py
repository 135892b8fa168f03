"""Settings of the recorder."""

import ipaddress
import json
from pathlib import Path
from typing import Annotated

from lykta_common.config import ObjectStoreSettings, ServiceSettings
from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from lykta_ingest.address import Network


class Settings(ServiceSettings, ObjectStoreSettings):
    """Settings of the recorder, from the environment (`LYKTA_INGEST__…`)."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="LYKTA_INGEST__")

    bucket_footage: str = Field(default="lykta-footage", description="S3 bucket of the footage")
    access_control_address: str = Field(
        description="host:port of access-control, which decides who may list sessions or probe a camera"
    )
    mandate_verify_key_file: Path = Field(description="PEM public key of access-control, or a directory of *.pub.pem")
    media_key_verify_key_file: Path = Field(
        description="PEM public key with which storage signs media keys, or a directory"
    )
    seal_signing_key_file: Path = Field(description="PEM file (PKCS #8) of the Ed25519 key that signs hour roots")
    camera_allow: Annotated[tuple[Network, ...], NoDecode] = Field(
        default=(),
        description="networks in which cameras may lie, CIDR, separated by commas (or a JSON list); empty allows none",
    )
    camera_credentials_file: Path | None = Field(
        default=None, description="JSON file {credentials_ref: {username, password}}; read at every connection"
    )
    camera_ca_file: Path | None = Field(default=None, description="PEM file of the CA of cameras reached by rtsps")
    camera_deadline_seconds: float = Field(
        default=5.0, gt=0, le=60, description="how long a camera may take to answer one request, seconds"
    )
    camera_silence_seconds: float = Field(
        default=5.0, gt=0, le=60, description="a camera that sends no video for this long is lost, seconds"
    )
    camera_retry_seconds: float = Field(
        default=10.0, gt=0, le=300, description="longest wait between two tries to connect to a camera, seconds"
    )
    gap_seconds: float = Field(
        default=30.0, ge=1, le=300, description="a gap that lasts is declared piece by piece, this often, seconds"
    )
    spool_dir: Path | None = Field(default=None, description="directory of the spool; <state_dir>/spool when not given")
    spool_limit_mib: int = Field(default=65_536, ge=1, description="bound of the spool, MiB")
    spool_file_bytes: int = Field(default=64 << 20, ge=64 << 10, description="size of one journal file, bytes")
    commit_interval_ms: int = Field(
        default=200, ge=10, le=1000, description="least time between two flushes of the spool, milliseconds"
    )
    segment_seconds: float = Field(default=10.0, gt=0, le=60, description="length of a segment object, seconds")
    read_interval_ms: int = Field(
        default=50, ge=5, le=500, description="all cameras are read together, this often, milliseconds"
    )
    live_parts: bool = Field(default=True, description="publish live parts for analytics and live viewers")
    part_ms: int = Field(default=200, ge=40, le=500, description="longest live part, milliseconds")
    upload_parallel: int = Field(default=4, ge=1, le=32, description="segment objects written at the same time")
    stored_retry_seconds: float = Field(
        default=300.0, gt=0, description="a segment not confirmed by storage for this long is announced again, seconds"
    )

    @field_validator("camera_allow", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if isinstance(value, str):
            parts = json.loads(value) if value.startswith("[") else value.split(",")
            return tuple(ipaddress.ip_network(one.strip()) for one in parts if one.strip())
        return value

    @property
    def spool_limit_bytes(self) -> int:
        """Bound of the spool in bytes."""
        return self.spool_limit_mib << 20

    @property
    def spool(self) -> Path:
        """Where the spool is."""
        return self.spool_dir or self.state_dir / "spool"
