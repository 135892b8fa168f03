"""The cluster part of continuous integration: on a given cluster, or on one that a kit of scripts makes and ends."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tools.cluster import delivery
from tools.cluster.programs import LATE, ROOT, LateError, open_cluster, run_bounded
from tools.cluster.trial import run_tests, settings_of
from tools.images import debian, engines

KIT = "LYKTA_CLUSTER_KIT"
NODES = "CLUSTER_NODES"
SCRIPTS = ("build", "up", "load", "down")
BUILD_S = 1500
IMAGES_S = 1500
UP_S = 180
DOWN_S = 60
INSTALL_S = 120
SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
TEST_S = 1500
Say = Callable[[str], None]
ResultT = TypeVar("ResultT")


class NotRunError(Exception):
    """There is no cluster to test on; the message says why."""


@dataclass(frozen=True)
class Kit:
    """A folder of four scripts: `build` once, `up` prints the KUBECONFIG, `load` takes archives, `down` ends it all.

    CLUSTER_NODES tells `up` how many nodes to make: two, unless the environment says otherwise.
    """

    folder: Path

    def command(self, name: str) -> str:
        """The path of one script."""
        return str(self.folder / name)

    def build(self) -> None:
        """Make what a cluster consists of, where it is not made; raises NotRunError after the limit."""
        code = run_bounded([self.command("build")], BUILD_S, surroundings())
        if code == LATE:
            raise NotRunError(f"the cluster was not built within {BUILD_S} s")
        if code:
            raise NotRunError(f"the cluster cannot be built here: {self.command('build')} ended with {code}")

    def up(self) -> str:
        """Bring the cluster up and return its KUBECONFIG; raises NotRunError."""
        try:
            command, environment = [self.command("up")], {NODES: "2"} | os.environ
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=UP_S)
        except subprocess.TimeoutExpired as error:
            raise NotRunError(f"the cluster was not up within {UP_S} s") from error
        if done.returncode or not done.stdout.strip():
            raise NotRunError(f"the cluster does not come up here: {self.command('up')} ended with {done.returncode}")
        return done.stdout.strip().splitlines()[-1]

    def down(self) -> None:
        """End the cluster, whatever state it is in."""
        run_bounded([self.command("down")], DOWN_S)


def surroundings() -> dict[str, str]:
    """The environment with the programs of .venv last on the path: Go and pip, where the machine has none."""
    return os.environ | {"PATH": f"{os.environ.get('PATH', '')}:{ROOT / '.venv' / 'bin'}"}


def find_kit() -> Kit:
    """Find the kit beside the repository, or where LYKTA_CLUSTER_KIT says; raises NotRunError."""
    folder = Path(os.environ.get(KIT) or ROOT.parent / "shared" / "cluster").resolve()
    if missing := [name for name in SCRIPTS if not os.access(folder / name, os.X_OK)]:
        raise NotRunError(
            f"no KUBECONFIG, and no cluster kit in {folder} ({', '.join(missing)} missing; {KIT} names it)"
        )
    if os.geteuid() != 0:
        raise NotRunError(f"no KUBECONFIG, and the cluster kit in {folder} needs root")
    return Kit(folder)


def require_builder() -> None:
    """Raise NotRunError where images can be made neither with a container engine nor from a Debian root.

    debootstrap, which makes that root, is installed where it can be.
    """
    if engines.find():
        return
    if not shutil.which("debootstrap", path=SYSTEM_PATH) and shutil.which("apt-get") and os.geteuid() == 0:
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        run_bounded(["apt-get", "update", "-qq"], INSTALL_S, quiet)
        run_bounded(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "debootstrap"], INSTALL_S, quiet)
    try:
        debian.check_tools()
    except debian.MissingToolError as error:
        raise NotRunError(str(error)) from error


def run_ci(kubeconfig: str, context: str, more: Sequence[str], say: Say) -> int:
    """Run tests/cluster wherever it can be; returns 0 with a clear line where there can be no cluster.

    A SIGTERM ends the cluster before it ends this.
    """
    try:
        kit = None if kubeconfig else find_kit()
        require_builder()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        if kit:
            _timed("kit built", kit.build, say)
        archives = _timed("images made", lambda: delivery.archives(say, IMAGES_S), say)
        if not kit:
            return _tested(kubeconfig, context, "", archives, more, say)
        try:
            made = _timed("cluster up", kit.up, say)
            return _tested(made, "", shlex.quote(kit.command("load")), archives, more, say)
        finally:
            _timed("cluster down", kit.down, say)
    except (NotRunError, LateError) as reason:
        say(f"cluster part not run: {reason}")
        return 0


def _tested(kubeconfig: str, context: str, loader: str, archives: list[Path], more: Sequence[str], say: Say) -> int:
    cluster = open_cluster(kubeconfig, context)
    command = delivery.loader_of(cluster.context, loader)
    _timed("images loaded", lambda: delivery.load(command, archives, say), say)
    return _timed("tests", lambda: run_tests(cluster, settings_of(archives), more, say, TEST_S), say)


def _timed(what: str, work: Callable[[], ResultT], say: Say) -> ResultT:
    started = time.monotonic()
    try:
        return work()
    finally:
        say(f"{what}: {time.monotonic() - started:.0f} s")
