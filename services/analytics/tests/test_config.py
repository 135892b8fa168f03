"""Settings from the environment."""

import pytest
from lykta_analytics.config import Settings
from lykta_common.config import load_settings
from lykta_common.errors import PlatformError

NEEDED = {
    f"LYKTA_ANALYTICS__{name}": "/x"
    for name in (
        "STATE_DIR", "NATS_URL", "NATS_USER", "NATS_PASSWORD_FILE", "TLS_CA_FILE", "TLS_CERTIFICATE_FILE",
        "TLS_KEY_FILE", "DATABASE_URL", "MANDATE_VERIFY_KEY_FILE", "ACCESS_CONTROL_ADDRESS", "MODEL_CACHE_DIR",
    )
}  # fmt: skip


def test_the_needed_settings_are_enough() -> None:
    """With what has no default given, the rest has one."""
    settings = load_settings(Settings, NEEDED)
    assert (settings.queue_parts, settings.stale_seconds) == (8, 60.0)


@pytest.mark.parametrize("missing", sorted(NEEDED))
def test_what_is_missing_is_named(missing: str) -> None:
    """Each missing setting is named in the error."""
    with pytest.raises(PlatformError, match=missing):
        load_settings(Settings, {key: value for key, value in NEEDED.items() if key != missing})


def test_an_unknown_setting_is_refused() -> None:
    """A misspelt variable is an error, not silence."""
    with pytest.raises(PlatformError, match="LYKTA_ANALYTICS__QUEUE"):
        load_settings(Settings, NEEDED | {"LYKTA_ANALYTICS__QUEUE": "9"})
