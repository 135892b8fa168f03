"""The commands with which container engines make our images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.images import catalogue, engines
from tools.images.__main__ import BASE_IMAGE, parser
from tools.images.layers import ROOT

KINDS = {kind.name: kind for kind in catalogue.KINDS}


def option(command: list[str], name: str) -> str:
    """The word after an option."""
    return command[command.index(name) + 1]


@pytest.mark.parametrize("name", KINDS)
def test_what_a_dockerfile_copies_reaches_the_build(name: str) -> None:
    """The list of what is left out, which podman and buildah are told of, lets in every file that is copied."""
    command = engines.command("buildah", KINDS[name], catalogue.edition(), "")
    dockerfile = Path(option(command, "--file"))
    let_in = Path(option(command, "--ignorefile")).read_text().split()
    copies = [line.split()[1:-1] for line in dockerfile.read_text().splitlines() if line.startswith("COPY")]
    copied = {word for words in copies if not words[0].startswith("--from") for word in words if word[:2] != "--"}
    assert copied
    assert {path for path in copied if f"!{path.rstrip('/')}" not in let_in} == set()
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.parametrize("engine", ["docker", "podman", "buildah"])
def test_the_base_image_is_an_argument(engine: str) -> None:
    """Where no registry is reached another root takes the place of Debian's image, for building and for running."""
    command = engines.command(engine, KINDS["audit"], catalogue.edition(), "localhost/debian-root")
    assert command[0] == engine
    assert {"BASE_IMAGE=localhost/debian-root", "BUILD_IMAGE=localhost/debian-root"} <= set(command)


def test_the_base_image_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that `make up`, which makes images on its way, builds on it too; an option goes before it."""
    monkeypatch.setenv(BASE_IMAGE, "localhost/debian-root")
    assert parser().parse_args([]).base_image == "localhost/debian-root"
    assert parser().parse_args(["--base-image", "other"]).base_image == "other"
