"""The test runner, the lock writer and the installer, on small trees of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tools import bootstrap, lock, run_tests
from tools.run_tests import Part


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository that the runner takes for its own."""
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\nmarkers = ['foreign: x', 'fault: x']\n")
    monkeypatch.setattr(run_tests, "ROOT", tmp_path)
    monkeypatch.setattr(run_tests, "RESULTS", tmp_path)
    return tmp_path


def part(limit_s: int = 60) -> Part:
    """A part over the file `test_x.py`."""
    return Part("x", "a sample", ("test_x.py",), run_tests.ORDINARY, limit_s)


def test_counts_come_from_the_report(tree: Path) -> None:
    """Passed, failed and skipped tests are counted apart, and the totals end the summary."""
    lines = ["def test_a(): pass", "def test_b(): 1 / 0", "def test_c(): pytest.skip('needs x')"]
    (tree / "test_x.py").write_text("import pytest\n" + "\n".join(lines) + "\n")
    outcome = run_tests.run(part(), 60, ["-p", "no:cacheprovider"])
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 1, 1)
    assert run_tests.summary([outcome]).endswith("\n1 passed, 1 failed, 1 skipped")


def test_a_part_that_hangs_is_ended_and_failed(tree: Path) -> None:
    """A part past its limit is ended, said and counted as failed."""
    (tree / "test_x.py").write_text("import threading\ndef test_a(): threading.Event().wait()\n")
    outcome = run_tests.run(part(), 4, ["-p", "no:cacheprovider"])
    assert outcome.failed >= 1
    assert "limit of 4 s" in outcome.note


def test_a_part_that_cannot_start_is_failed(tree: Path) -> None:
    """A file that does not import counts as a failure, not as nothing."""
    (tree / "test_x.py").write_text("import no_such_module\n")
    assert run_tests.run(part(), 60, ["-p", "no:cacheprovider"]).failed == 1


def test_every_test_file_of_the_repository_belongs_to_a_part() -> None:
    """No folder with tests is left out of the parts, but for those that `.ci/run` gives to a cluster."""
    covered = {path for p in run_tests.parts() for path in p.paths}
    members = (f.relative_to(run_tests.ROOT) for f in run_tests.ROOT.glob("*/*/tests"))
    shared = {f.parent.relative_to(run_tests.ROOT) for f in run_tests.ROOT.glob("tests/*/test_*.py")}
    assert len(shared) > 3
    assert "tools.cluster ci" in (run_tests.ROOT / ".ci" / "run").read_text()
    for folder in {*members, *shared, Path("tools/tests")} - {Path("tests/cluster")}:
        assert any(folder.is_relative_to(path) for path in covered), folder


def test_a_lock_with_an_address_is_refused() -> None:
    """A lock file never carries the address of an index."""
    with pytest.raises(SystemExit, match="an address"):
        lock.render("x", {"a==1": "a==1 --index-url https://example.org\n"})


def test_pins_are_split_with_their_hashes() -> None:
    """Each pin keeps the hash lines that follow it."""
    text = "a==1 \\\n    --hash=sha256:00\nb==2 ; python_version < '3.12' \\\n    --hash=sha256:11\n"
    assert lock.blocks(text) == {
        "a==1": "a==1 \\\n    --hash=sha256:00\n",
        "b==2": "b==2 ; python_version < '3.12' \\\n    --hash=sha256:11\n",
    }


def test_a_changed_lock_makes_the_install_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The install is current until a lock file changes, and an install for tests serves a run too."""
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / "python")
    monkeypatch.setattr(bootstrap, "BOOTSTRAP", tmp_path / "boot.txt")
    for name in ("python", "boot.txt", "requirements.lock", "requirements-dev.lock"):
        (tmp_path / name).write_text("x")
    assert not bootstrap.is_current("run")
    bootstrap.stamp("dev").write_text(bootstrap.fingerprint("dev"))
    assert bootstrap.is_current("run")
    assert bootstrap.is_current("dev")
    (tmp_path / "requirements.lock").write_text("y")
    assert not bootstrap.is_current("run")


def test_markers_that_name_only_what_is_supported_are_dropped() -> None:
    """Markers for our own systems and interpreter go, in whatever form; markers for a version stay."""
    ours = ["sys_platform == 'darwin' or sys_platform == 'linux'"]
    ours += [f"implementation_name != 'PyPy' and ({ours[0]})"]
    kept = "python_full_version < '3.12' and (sys_platform == 'darwin' or sys_platform == 'linux')"
    for marker in ours:
        assert lock.MARKER.sub(lock.without_support, f"a==1 ; {marker} \\\n    --hash=x\n") == "a==1 \\\n    --hash=x\n"
    assert lock.MARKER.sub(lock.without_support, f"a==1 ; {kept}\n") == f"a==1 ; {kept}\n"


def test_a_missing_venv_module_is_installed_by_root_and_named_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ensurepip, root gets Debian's python3-venv, and anyone else is told what to install."""
    said = tmp_path / "said"
    for name, script in {"python": "exit 1", "apt-get": f"echo $@ >> {said}"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match="apt-get install python3-venv"):
        bootstrap.ensure_venv_module()
    assert not said.exists()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    bootstrap.ensure_venv_module()
    assert said.read_text().splitlines()[1].endswith("python3-venv")
