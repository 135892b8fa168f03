"""Settings refuse what they do not know; logs never carry a secret."""

import json
from pathlib import Path
from typing import Any

import pytest
from lykta_common.config import ServiceSettings, load_settings, read_secret
from lykta_common.errors import Code, PlatformError, delivery_of
from lykta_common.logging import clean, configure, get_logger, redact
from pydantic import Field
from pydantic_settings import SettingsConfigDict

GOOD = {
    "LYKTA_X__STATE_DIR": "/tmp/x", "LYKTA_X__NATS_URL": "tls://x", "LYKTA_X__NATS_USER": "x",
    "LYKTA_X__NATS_PASSWORD_FILE": "p", "LYKTA_X__TLS_CA_FILE": "a", "LYKTA_X__TLS_CERTIFICATE_FILE": "b",
    "LYKTA_X__TLS_KEY_FILE": "c", "LYKTA_X__LIMIT_MIB": "5", "OTHER": "ignored",
}  # fmt: skip


class Settings(ServiceSettings):
    """A service with one setting of its own."""

    model_config = SettingsConfigDict(env_prefix="LYKTA_X__", frozen=True, extra="forbid")

    limit_mib: int = Field(ge=1, description="MiB")


def test_settings_come_from_the_environment_and_are_frozen() -> None:
    """Values are read once and cannot be changed; the profile is production unless said."""
    settings = load_settings(Settings, GOOD)
    assert (settings.limit_mib, settings.profile) == (5, "production")
    with pytest.raises(ValueError, match="frozen"):
        settings.limit_mib = 6  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "named"),
    [({"LYKTA_X__LIMT_MIB": "1"}, "LYKTA_X__LIMT_MIB"), ({"LYKTA_X__LIMIT_MIB": "0"}, "LYKTA_X__LIMIT_MIB")],
)
def test_a_wrong_setting_is_named(change: dict[str, str], named: str) -> None:
    """A misspelt key and a value out of bounds are refused by name."""
    with pytest.raises(PlatformError, match=named):
        load_settings(Settings, GOOD | change)


def test_a_missing_setting_and_secret_are_named(tmp_path: Path) -> None:
    """What is missing is named, with its prefix or its file."""
    with pytest.raises(PlatformError, match="LYKTA_X__NATS_URL"):
        load_settings(Settings, {k: v for k, v in GOOD.items() if k != "LYKTA_X__NATS_URL"})
    with pytest.raises(PlatformError, match="nowhere"):
        read_secret(tmp_path / "nowhere")


CANARIES = {
    "address": "rtsp://admin:hunter2@10.0.0.1/stream",
    "password": "hunter2",
    "grant_token": "hunter2",
    "detail": "sent eyJhbGciOi.eyJzdWIi.c2ln and AGE-SECRET-KEY-1QQQQ",
}


def test_no_canary_survives_a_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Credentials in URLs, tokens, age keys and secret fields never reach the log."""
    configure("x", "json", "info")
    get_logger("x").info("something_happened", **CANARIES)
    line = json.loads(capsys.readouterr().err)
    assert line["event"] == "something_happened"
    assert "10.0.0.1/stream" in line["address"]
    assert not any(secret in json.dumps(line) for secret in ("hunter2", "eyJ", "AGE-SECRET", "admin"))


def test_names_of_secrets_are_not_secret() -> None:
    """A reference to credentials may be logged; the text around a secret stays."""
    fields: dict[str, Any] = {"credentials_ref": "torg-1", "size": 3}
    assert redact(None, "info", dict(fields)) == fields
    assert clean("at rtsp://u:p@h/x now") == "at rtsp://[redacted]@h/x now"


def test_the_error_table_has_a_row_for_every_code() -> None:
    """Every code leads to a decision, and an unknown reason cannot be raised."""
    for code in Code:
        assert delivery_of(PlatformError(code, "LIMIT", "x"))
    with pytest.raises(ValueError, match="ErrorReason"):
        PlatformError(Code.INTERNAL, "MADE_UP", "x")
