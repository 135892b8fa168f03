"""Fixtures of the faults: shorter segments, so that it shows sooner whether recording went on; patient clients."""

from __future__ import annotations

import pytest

from tests.integration.client import Client
from tests.integration.footage import Bucket
from tests.integration.harness import Platform, eventually
from tests.integration.witness import Witness

CAMERAS = ("tradgardstorget-1", "tradgardstorget-2")
PATIENCE_SECONDS = 45.0


@pytest.fixture(scope="module")
def up_options() -> tuple[str, ...]:
    """Segments of 4 s."""
    return ("--set", "LYKTA_INGEST__SEGMENT_SECONDS=4")


@pytest.fixture(scope="module")
def witnesses(platform: Platform, tool: Client, client: Client, bucket: Bucket) -> list[Witness]:
    """A witness for each camera of `ks`, once footage is stored; clients wait while a service is away."""
    tool.patience = client.patience = PATIENCE_SECONDS
    found = [Witness(platform, tool, bucket, camera) for camera in CAMERAS]
    for witness in found:
        eventually(witness.listed, 60, "a first segment", every=0.5)
    return found
