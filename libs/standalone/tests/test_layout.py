"""The state directory: one platform at a time, ports that are remembered."""

import json
import socket
from pathlib import Path

import pytest
from lykta_common.errors import PlatformError
from lykta_standalone.layout import PORT_NAMES, Layout, choose_ports, locked, write_atomically
from lykta_standalone.ports import LOOPBACK


def test_a_second_platform_in_one_directory_is_refused(tmp_path: Path) -> None:
    """The refusal names the process that holds the directory and says what to do; the lock ends with its holder."""
    refusal = pytest.raises(PlatformError, match=r"process \d+.*another --state-dir")
    with locked(Layout(tmp_path)), refusal, locked(Layout(tmp_path)):
        pass
    with locked(Layout(tmp_path)):
        pass


def test_ports_are_distinct_and_the_same_in_the_next_run(tmp_path: Path) -> None:
    """Everything that listens gets a port of its own, and keeps it."""
    first = choose_ports(Layout(tmp_path), {})
    assert set(first) == set(PORT_NAMES)
    assert len(set(first.values())) == len(PORT_NAMES)
    assert choose_ports(Layout(tmp_path), {}) == first


def test_a_taken_port_is_refused_when_it_was_asked_for_or_cameras_are_known_by_it(tmp_path: Path) -> None:
    """A wanted port that is taken is an error that names it; another remembered one is replaced."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PlatformError, match=f"port {port} for nats is taken"):
            choose_ports(Layout(tmp_path), {"nats": port})
        (tmp_path / "ports.json").write_text(json.dumps({"audit": port}))
        assert choose_ports(Layout(tmp_path), {})["audit"] != port
        (tmp_path / "ports.json").write_text(json.dumps({"cameras": port}))
        with pytest.raises(PlatformError, match="cameras are known"):
            choose_ports(Layout(tmp_path), {})


def test_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    """Directories of secrets, certificates and tokens are closed to everyone else."""
    layout = Layout(tmp_path)
    layout.create()
    assert {directory.stat().st_mode & 0o777 for directory in (layout.secrets, layout.pki, layout.people)} == {0o700}


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """A file is replaced in one step, and no half-written one stays behind."""
    path = tmp_path / "platform.json"
    write_atomically(path, "old")
    with path.open() as reader:
        write_atomically(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
