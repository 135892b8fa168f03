"""The address of the object store: encrypted, or on loopback."""

from pathlib import Path

import pytest
from lykta_common.config import ObjectStoreSettings
from pydantic import ValidationError


@pytest.mark.parametrize(
    "endpoint", ["https://s3.example", "http://127.0.0.1:8333", "http://[::1]:1", "http://localhost:1"]
)
def test_https_and_loopback_are_accepted(endpoint: str) -> None:
    """An encrypted address and plain HTTP on loopback are both fine."""
    assert ObjectStoreSettings(s3_endpoint=endpoint, s3_credentials_file=Path("x")).s3_endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint", ["http://s3.example", "http://10.0.0.1:8333", "s3.example:443", "http://127.0.0.1.evil"]
)
def test_plain_http_elsewhere_is_refused(endpoint: str) -> None:
    """Plain HTTP to another machine is refused before anything is sent."""
    with pytest.raises(ValidationError, match="must be https"):
        ObjectStoreSettings(s3_endpoint=endpoint, s3_credentials_file=Path("x"))
