"""The images there are: what each is for, what it runs, and which layers it is made of."""

from __future__ import annotations

import platform
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools.images.archive import Image, Layer
from tools.images.debian import USER
from tools.images.layers import HOME, ROOT, Workshop

REGISTRY = "localhost/lykta"
PYTHON_PATH = f"/{HOME}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHON_ENVIRONMENT = ("PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1", "HOME=/tmp", "LANG=C.UTF-8")
SHIPPED = ("libs", "services", "proto", "deploy/docker", "tools/images", "requirements.lock")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Kind:
    """One image: its name, what it is for, what it runs, and how its layers come without a container engine."""

    name: str
    does: str
    command: tuple[str, ...]
    layers: Callable[[Workshop], list[Layer | None]]
    dockerfile: str = "service.Dockerfile"


def service(name: str, does: str, *more: Callable[[Workshop], Layer]) -> Kind:
    """One of our services (or `standalone`): the layers that all share, its packages, and its members last."""

    def layers(shop: Workshop) -> list[Layer | None]:
        shared = [shop.base(), shop.environment(), shop.packages("common"), shop.packages(name)]
        return [*shared, *(make(shop) for make in more), shop.members(name)]

    module = "lykta_standalone.cluster" if name == "standalone" else f"lykta_{name.replace('-', '_')}"
    return Kind(name, does, ("python", "-m", module), layers)


def backbone(name: str, does: str, command: tuple[str, ...], *makers: Callable[[Workshop], Layer]) -> Kind:
    """A server that the platform stands on."""
    return Kind(name, does, command, lambda shop: [make(shop) for make in makers], "backbone.Dockerfile")


KINDS = (
    service("access-control", "decides who and what may record, watch and approve"),
    service("analytics", "notices incidents; holds the detector's model", Workshop.model),
    service("audit", "keeps the transparency log"),
    service("ingest", "records cameras under signed mandates"),
    service("storage", "keeps footage and shows it"),
    service("standalone", "the chart's jobs, the demo's cameras and people, the `lykta` command", Workshop.footage),
    backbone("nats", "NATS server with JetStream", ("nats-server",), Workshop.nats),
    backbone("postgres", "PostgreSQL 15", ("/usr/lib/postgresql/15/bin/postgres",), Workshop.base, Workshop.postgres),
    backbone("minio", "S3 object store with object lock", ("minio",), Workshop.minio),
)
NAMES = tuple(kind.name for kind in KINDS)


@dataclass(frozen=True)
class Edition:
    """Which state of the sources the images are made from: version, commit, and the commit's time."""

    version: str
    revision: str
    created: str

    def reference(self, name: str) -> str:
        """The name with tag under which an image is known."""
        return f"{REGISTRY}/{name}:{self.version}"

    def labels(self, kind: Kind) -> dict[str, str]:
        """The OCI labels of an image: the same for the same commit."""
        prefix = "org.opencontainers.image"
        return {
            f"{prefix}.created": self.created,
            f"{prefix}.description": kind.does,
            f"{prefix}.licenses": "Apache-2.0" if kind.dockerfile == "service.Dockerfile" else "",
            f"{prefix}.revision": self.revision,
            f"{prefix}.title": f"lykta {kind.name}",
            f"{prefix}.version": self.version,
        }


def git(*arguments: str) -> str:
    """What git says about the repository; nothing outside of one."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else ""


def edition() -> Edition:
    """The state of the sources: the last commit that touched what is shipped, marked when files differ from it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    revision, _, created = git("log", "-1", "--format=%H %cI", "--", *SHIPPED).partition(" ")
    changed = git("status", "--porcelain", "--", *SHIPPED)
    return Edition(
        version, f"{revision or 'unknown'}{'-changed' if changed else ''}", created or "1980-01-01T00:00:00Z"
    )


def configuration(kind: Kind, current: Edition) -> dict[str, Any]:
    """What a container of the image starts as: never root, no shell between it and its signals."""
    ours = kind.dockerfile == "service.Dockerfile"
    path = PYTHON_PATH if ours else "/usr/local/bin:/usr/bin:/bin:/usr/lib/postgresql/15/bin"
    return {
        "Cmd": list(kind.command),
        "Env": [f"PATH={path}", *(PYTHON_ENVIRONMENT if ours else ("HOME=/tmp",))],
        "Labels": current.labels(kind),
        "StopSignal": "SIGTERM",
        "User": f"{USER}:{USER}",
        "WorkingDir": "/var/lib/lykta",
    }


def build(kind: Kind, shop: Workshop, current: Edition) -> Image:
    """The image, its layers made or taken from the cache; raises MissingToolError with what is missing."""
    layers = [layer for layer in kind.layers(shop) if layer is not None]
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    config = configuration(kind, current)
    return Image(current.reference(kind.name), layers, config, current.created, architecture)
