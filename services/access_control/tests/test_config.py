"""The settings: read from the environment, refused in production when they would be unsafe."""

from pathlib import Path

import pytest
from lykta_access_control.config import Settings
from lykta_common.config import load_settings
from lykta_common.errors import PlatformError


def environment(tmp_path: Path, **changes: str) -> dict[str, str]:
    """Return a whole environment."""
    file = str(tmp_path / "file")
    values = {
        "STATE_DIR": str(tmp_path), "NATS_URL": "tls://127.0.0.1:4222", "NATS_USER": "access-control",
        "NATS_PASSWORD_FILE": file, "TLS_CA_FILE": file, "TLS_CERTIFICATE_FILE": file, "TLS_KEY_FILE": file,
        "DATABASE_URL": "sqlite+aiosqlite:///rows.db", "OIDC_ISSUER": "https://id.example",
        "MANDATE_SIGNING_KEY_FILE": file, "GRANT_SIGNING_KEY_FILE": file,
    }  # fmt: skip
    return {f"LYKTA_ACCESS_CONTROL__{name}": value for name, value in (values | changes).items()}


@pytest.mark.parametrize("text", ["root,drift", '["root", "drift"]', " root , drift ,"])
def test_operators_are_a_list(tmp_path: Path, text: str) -> None:
    """Platform operators are read comma-separated or as JSON."""
    settings = load_settings(Settings, environment(tmp_path, PLATFORM_OPERATORS=text))
    assert settings.platform_operators == ("root", "drift")


@pytest.mark.parametrize(
    "issuer", ["http://id.example", "https://localhost:1/development", "https://localhost:1/development/", "id.example"]
)
def test_production_refuses_an_unsafe_issuer(tmp_path: Path, issuer: str) -> None:
    """No TLS, or the development provider: the service does not start, and says which setting is wrong."""
    with pytest.raises(PlatformError, match="settings"):
        load_settings(Settings, environment(tmp_path, OIDC_ISSUER=issuer))


def test_unknown_settings_are_refused(tmp_path: Path) -> None:
    """A misspelt name is named."""
    with pytest.raises(PlatformError, match="OIDC_ISUER"):
        load_settings(Settings, environment(tmp_path, OIDC_ISUER="https://id.example"))
