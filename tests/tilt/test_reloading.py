"""What stands before the interpreter in development images: it takes synced sources over, and is a good parent."""

from __future__ import annotations

import compileall
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

import pytest

RELOADING = Path(__file__).resolve().parents[2] / "deploy" / "docker" / "reloading.py"
PROGRAM = """
import signal, sys
from lykta_toy import words
signal.signal(signal.SIGTERM, lambda *_: (print("ended in order", flush=True), sys.exit(0)))
print(words.WORD, flush=True)
while True:
    signal.pause()
"""


class Pod:
    """An image's installed packages, the scratch volume, and the program that runs there."""

    def __init__(self, directory: Path, program: str) -> None:
        self.live = directory / "tmp" / "live"
        home = directory / "opt"
        self.installed = home / "lib" / "python3.11" / "site-packages" / "lykta_toy"
        self.installed.mkdir(parents=True)
        (self.installed / "__init__.py").touch()
        (self.installed / "words.py").write_text("WORD = 'installed'\n")
        (self.installed / "__main__.py").write_text(program)
        compileall.compile_dir(self.installed, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
        (home / "bin").mkdir()
        interpreter = home / "bin" / "python3.11"
        packages = self.installed.parent
        interpreter.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{packages}" exec {sys.executable} -B "$@"\n')
        interpreter.chmod(0o755)
        environment = os.environ | {"LYKTA_LIVE": str(self.live), "LYKTA_INTERPRETER": str(interpreter)}
        self.process = subprocess.Popen(
            [sys.executable, "-IS", str(RELOADING), "-m", "lykta_toy"], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def line(self) -> str:
        """The next line that the program or its parent prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def sync(self, **modules: str) -> None:
        """Do what a live update does: the changed files first, then the word that they are there."""
        for name, text in modules.items():
            (self.live / "lykta_toy" / f"{name}.py").write_text(text)
        (self.live / ".changed").touch()
        os.utime(self.live / ".changed", ns=(time.time_ns(), time.time_ns()))

    def end(self) -> None:
        """End what still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """A program that says a word and stays."""
    pod = Pod(tmp_path, PROGRAM)
    yield pod
    pod.process.send_signal(signal.SIGTERM)
    pod.process.wait(20)
    pod.end()


def test_a_synced_file_is_taken_over_with_the_rest_of_its_package(pod: Pod) -> None:
    """One changed file starts the program again with it; what did not change is there too, no stale bytecode is."""
    assert pod.line() == "installed"
    pod.sync(words="WORD = 'first'\n")
    assert [pod.line() for _ in range(3)] == ["sources changed: starting again", "ended in order", "first"]
    assert not list(pod.live.rglob("*.pyc"))
    pod.sync(words="from lykta_toy.more import WORD\n", more="WORD = 'second'\n")
    assert [pod.line() for _ in range(3)] == ["sources changed: starting again", "ended in order", "second"]


def test_the_end_of_the_pod_is_passed_on(pod: Pod) -> None:
    """The pod's SIGTERM ends the program in order, and then its parent, without starting it again."""
    assert pod.line() == "installed"
    pod.process.send_signal(signal.SIGTERM)
    assert pod.line() == "ended in order"
    assert pod.process.wait(20) == 0


def test_a_program_that_ends_ends_its_parent(tmp_path: Path) -> None:
    """A job's exit code is the pod's: it is not started again."""
    pod = Pod(tmp_path, "raise SystemExit(78)")
    try:
        assert pod.process.wait(20) == 78
    finally:
        pod.end()


def test_a_start_keeps_what_was_synced_and_adds_the_rest(tmp_path: Path) -> None:
    """The scratch volume outlives the container, and a sync may come first: the start runs it in a whole package."""
    synced = tmp_path / "tmp" / "live" / "lykta_toy"
    synced.mkdir(parents=True)
    (synced / "words.py").write_text("WORD = 'synced'\n")
    (synced.parent / ".changed").touch()
    pod = Pod(tmp_path, PROGRAM)
    try:
        assert pod.line() == "synced"
        pod.process.send_signal(signal.SIGTERM)
        assert pod.process.wait(20) == 0
    finally:
        pod.end()


def test_what_was_deleted_stays_away(pod: Pod) -> None:
    """A module that a sync took away is not brought back by the next start of the program."""
    assert pod.line() == "installed"
    (pod.live / "lykta_toy" / "words.py").unlink()
    without = PROGRAM.replace("from lykta_toy import words", "").replace("words.WORD", "'without'")
    pod.sync(__main__=without)
    assert [pod.line() for _ in range(3)] == ["sources changed: starting again", "ended in order", "without"]
    assert not (pod.live / "lykta_toy" / "words.py").exists()
