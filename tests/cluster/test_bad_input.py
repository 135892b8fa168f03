"""Bad input to `helm upgrade`: a message that names the key or the object, before anything is changed."""

from __future__ import annotations

import pytest

from tests.cluster.harness import Town


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("surplus=1", "surplus"),
        ("ingest.storage.size=20GB", "size"),
        ("nats.external.enabled=true", "nats.external.url"),
        ("objectStore.external.enabled=true", "objectStore.external."),
        ("database.external.enabled=true", "database.external.existingSecret"),
        ("ingest.cameras.credentialsSecret=nowhere", "ingest.cameras.credentialsSecret names the Secret nowhere"),
    ],
)
def test_bad_input_changes_nothing(town: Town, setting: str, named: str) -> None:
    """An unknown key, a wrong unit, `external` without an address, a missing Secret: refused, and all is as before."""
    before = town.state()
    code, output = town.upgrade("--set", setting)
    assert code != 0, output
    assert named in output.replace("'", ""), output
    assert town.state() == before


def test_what_was_refused_leaves_the_way_free(town: Town) -> None:
    """After refused upgrades the right values are taken as if nothing had been."""
    code, output = town.upgrade()
    assert code == 0, output
    town.settle()
