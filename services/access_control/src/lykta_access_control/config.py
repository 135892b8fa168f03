"""The settings of access-control."""

import json
from pathlib import Path
from typing import Annotated, Self

from lykta_common.config import DatabaseSettings, ServiceSettings
from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict


def _names(value: object) -> object:
    """Read a list of names, comma-separated or as JSON; a list stays one."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [name.strip() for name in value.split(",") if name.strip()]


class Settings(ServiceSettings, DatabaseSettings):
    """Everything that is set from outside."""

    model_config = SettingsConfigDict(env_prefix="LYKTA_ACCESS_CONTROL__", frozen=True, extra="forbid")

    oidc_issuer: str = Field(
        pattern=r"^https?://\S+$", description="issuer of people's tokens, exactly as it names itself"
    )
    oidc_audience: str = Field(default="lykta", min_length=1, description="audience people's tokens must be for")
    oidc_ca_file: Path | None = Field(
        default=None, description="PEM file of the CA of the issuer; the system's when unset"
    )
    platform_operators: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = Field(
        default=(), description="OIDC subjects, comma-separated, that may create controllers and name their first admin"
    )
    mandate_signing_key_file: Path = Field(
        description="PEM Ed25519 private key that signs orders; its stem is the key id"
    )
    grant_signing_key_file: Path = Field(
        description="PEM Ed25519 private key that signs grant tokens; its stem is the key id"
    )

    @model_validator(mode="after")
    def _trusted_issuer(self) -> Self:
        if self.profile == "production" and not self.oidc_issuer.startswith("https://"):
            raise ValueError("in the production profile the issuer must be https")
        if self.profile == "production" and self.oidc_issuer.rstrip("/").endswith("/development"):
            raise ValueError("in the production profile a development identity provider is refused")
        return self
