"""Every service can start from the environment that the supervisor gives it."""

import importlib
from pathlib import Path

import pytest
from lykta_common.config import ServiceSettings, load_settings
from lykta_standalone.environment import Surroundings, service_environment
from lykta_standalone.layout import PORT_NAMES, Layout
from lykta_standalone.registry import SERVICES, Service

PORTS = {name: 40_000 + number for number, name in enumerate(PORT_NAMES)}


def _around(tmp_path: Path, **more: str) -> Surroundings:
    return Surroundings(Layout(tmp_path), PORTS, "https://localhost:1/development", tmp_path / "models", overrides=more)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_the_environment_makes_settings(tmp_path: Path, service: Service) -> None:
    """No setting is missing or unknown, the port is the one that was chosen, and the profile is development."""
    settings_type: type[ServiceSettings] = importlib.import_module(f"{service.package}.config").Settings
    settings = load_settings(settings_type, service_environment(service, _around(tmp_path)))
    assert settings.grpc_listen == f"127.0.0.1:{PORTS[service.name]}"
    assert settings.profile == "development"
    assert settings.nats_user == service.name


def test_a_given_setting_wins_and_reaches_its_service_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--set` says is used by the service it names; the caller's own environment reaches none."""
    monkeypatch.setenv("LYKTA_INGEST__SPOOL_LIMIT_MIB", "1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the caller's own")
    ingest = next(service for service in SERVICES if service.name == "ingest")
    audit = next(service for service in SERVICES if service.name == "audit")
    around = _around(tmp_path, LYKTA_INGEST__SPOOL_LIMIT_MIB="77")
    assert service_environment(ingest, around)["LYKTA_INGEST__SPOOL_LIMIT_MIB"] == "77"
    assert not any(name.startswith(("LYKTA_INGEST", "AWS_")) for name in service_environment(audit, around))
