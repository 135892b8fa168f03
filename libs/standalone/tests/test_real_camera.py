"""A camera on the command line: its credentials go into the secret file and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_common.errors import PlatformError
from lykta_standalone.real_camera import read_camera


def test_credentials_are_taken_out_of_the_address() -> None:
    """The address keeps host, port, path and query; user and password come back decoded, by reference."""
    camera, secret, networks = read_camera("hall=rtsp://op:p%40ss@127.0.0.1:8554/a/b?x=1#part")
    assert camera.address == "rtsp://127.0.0.1:8554/a/b?x=1"
    assert (camera.name, camera.credentials_ref) == ("hall", "hall")
    assert secret == {"username": "op", "password": "p@ss"}
    assert networks == ["127.0.0.1/32"]


def test_a_camera_without_credentials_refers_to_none() -> None:
    """No user in the URL means no reference."""
    camera, secret, _ = read_camera("hall=rtsp://127.0.0.1/main")
    assert camera.credentials_ref == ""
    assert secret == {}


@pytest.mark.parametrize(
    "text",
    ["hall", "Hall=rtsp://u:geheim@127.0.0.1/", "hall=http://u:geheim@127.0.0.1/", "hall=rtsp://u:geheim@:9/",
     "hall=rtsp://u:geheim@127.0.0.1:99999/", "hall=rtsp://u:geheim@nowhere.invalid/"],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_without_repeating_the_password(text: str) -> None:
    """The message says how to write it and never what was written."""
    with pytest.raises(PlatformError) as refusal:
        read_camera(text)
    assert "geheim" not in str(refusal.value)


@given(password=st.text(st.characters(codec="ascii", exclude_characters="/?#@[]%:", min_codepoint=33), min_size=8))
def test_no_password_survives_in_the_address(password: str) -> None:
    """Whatever the password is, address and name do not hold it."""
    camera, secret, _ = read_camera(f"hall=rtsp://op:{password}@127.0.0.1/main")
    assert secret["password"] == password
    assert password not in camera.address
