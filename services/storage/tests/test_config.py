"""Settings: named by their environment variables, bounded, and nothing unknown."""

import pytest
from lykta_common.config import load_settings
from lykta_common.errors import PlatformError
from lykta_storage.config import Settings

NEEDED = {
    "STATE_DIR": "state",
    "NATS_URL": "tls://127.0.0.1:4222",
    "NATS_USER": "storage",
    "NATS_PASSWORD_FILE": "password",
    "TLS_CA_FILE": "ca.pem",
    "TLS_CERTIFICATE_FILE": "storage.pem",
    "TLS_KEY_FILE": "storage.key",
    "DATABASE_URL": "sqlite+aiosqlite:///rows.db",
    "S3_ENDPOINT": "http://127.0.0.1:8333",
    "S3_CREDENTIALS_FILE": "s3.json",
    "ACCESS_CONTROL_ADDRESS": "127.0.0.1:1",
    "AUDIT_ADDRESS": "127.0.0.1:2",
    "MEDIA_KEY_SIGNING_KEY_FILE": "media-key.pem",
    "MANDATE_VERIFY_KEY_FILE": "mandate.pub.pem",
    "GRANT_VERIFY_KEY_FILE": "grant.pub.pem",
    "SEAL_VERIFY_KEY_FILE": "keys",
    "KEK_DIR": "kek",
}


def environment(**more: str) -> dict[str, str]:
    """Return an environment with every needed setting."""
    return {f"LYKTA_STORAGE__{name}": value for name, value in (NEEDED | more).items()}


def test_defaults_are_the_strict_ones() -> None:
    """Without a word about it, storage is in production, makes no key files and exports no keys."""
    settings = load_settings(Settings, environment())
    assert (settings.profile, settings.kek_create, settings.allow_key_export) == ("production", False, False)
    assert settings.key_horizon_hours == 48


@pytest.mark.parametrize("more", [{"KEY_HORIZON_HOURS": "0"}, {"RECHECK_SECONDS": "2"}, {"SURPRISE": "1"}])
def test_what_is_out_of_bounds_or_unknown_is_refused(more: dict[str, str]) -> None:
    """A value out of its bounds and an unknown name are errors that name the variable."""
    with pytest.raises(PlatformError) as caught:
        load_settings(Settings, environment(**more))
    assert next(iter(more)) in caught.value.message
