"""Builds images with docker, podman or buildah, from the Dockerfiles in `deploy/docker`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.images.catalogue import Edition, Kind
from tools.images.layers import ROOT
from tools.minio import VERSION as MINIO

DOCKER = ROOT / "deploy" / "docker"
ANSWER_S = 20
BUILD_S = 3600


def find() -> str:
    """The first engine that is installed and answers, or nothing: a client whose server is away is no engine."""
    for name in ("docker", "podman", "buildah"):
        if shutil.which(name):
            try:
                done = subprocess.run([name, "info"], capture_output=True, timeout=ANSWER_S)
            except subprocess.TimeoutExpired:
                continue
            if done.returncode == 0:
                return name
    return ""


def command(engine: str, kind: Kind, current: Edition, base_image: str) -> list[str]:
    """The command that builds one image."""
    arguments = ["bud"] if engine == "buildah" else ["build"]
    arguments += ["--file", str(DOCKER / kind.dockerfile), "--tag", current.reference(kind.name)]
    if engine != "docker":  # docker finds it by its name
        arguments += ["--ignorefile", str(DOCKER / f"{kind.dockerfile}.dockerignore")]
    if kind.dockerfile == "service.Dockerfile":
        arguments += ["--build-arg", f"SERVICE={kind.name}"]
        arguments += ["--build-arg", f"MODULE={kind.command[-1]}"]
    else:
        arguments += ["--target", kind.name, "--build-arg", f"MINIO={MINIO}"]
    if base_image:
        arguments += ["--build-arg", f"BASE_IMAGE={base_image}", "--build-arg", f"BUILD_IMAGE={base_image}"]
    for name, value in sorted(current.labels(kind).items()):
        arguments += ["--label", f"{name}={value}"]
    return [engine, *arguments, str(ROOT)]


def build(engine: str, kind: Kind, current: Edition, base_image: str) -> None:
    """Build one image, showing what the engine says; raises SystemExit when it fails."""
    done = subprocess.run(command(engine, kind, current, base_image), cwd=ROOT, timeout=BUILD_S)
    if done.returncode:
        raise SystemExit(f"images: {engine} could not build {kind.name}; its output above says why")


def save(engine: str, references: Sequence[str], path: Path) -> None:
    """Write images from the engine's store into one docker-archive; raises SystemExit when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if engine == "buildah":
        commands = [
            ["buildah", "push", name, f"docker-archive:{path}-{i}.tar:{name}"] for i, name in enumerate(references)
        ]
    else:
        several = ["--multi-image-archive"] if engine == "podman" else []
        commands = [[engine, "save", *several, "--output", str(path), *references]]
    for line in commands:
        if subprocess.run(line, cwd=ROOT, timeout=BUILD_S).returncode:
            raise SystemExit(f"images: {line[0]} could not write {path}; its output above says why")
