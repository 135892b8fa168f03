"""The command: `make images`, `make images ARGS="--only audit"`, `--list`, `--without minio`, `--no-engine`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from tools.images import catalogue, engines, sbom
from tools.images.archive import Image, write_archive
from tools.images.catalogue import KINDS, NAMES, Edition, Kind
from tools.images.debian import MissingToolError
from tools.images.layers import ROOT, Workshop

FOLDER = ROOT / ".cache" / "images"
BASE_IMAGE = "LYKTA_BASE_IMAGE"


def say(line: str) -> None:
    """Print one line of progress at once."""
    print(f"[images] {line}", flush=True)


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m tools.images", description=__doc__)
    add = made.add_argument
    add("--list", action="store_true", help="say the images and what they are for, make nothing")
    add("--only", action="append", choices=NAMES, help="make this image (may be repeated)")
    add("--without", action="append", choices=NAMES, default=[], help="leave this image out (may be repeated)")
    add("--out", type=Path, default=FOLDER, help="folder of the archive and the SBOMs (default: .cache/images)")
    add("--no-engine", action="store_true", help="use neither docker, podman nor buildah even where one answers")
    base = os.environ.get(BASE_IMAGE, "")
    add("--base-image", default=base, help=f"with an engine: what to build on, not debian:bookworm-slim ({BASE_IMAGE})")
    return made


def with_engine(engine: str, kinds: list[Kind], current: Edition, options: argparse.Namespace) -> None:
    """Build with the engine that answers; the images stay in its store."""
    for number, kind in enumerate(kinds, 1):
        say(f"{number}/{len(kinds)} {current.reference(kind.name)} with {engine} …")
        engines.build(engine, kind, current, options.base_image)
        sbom.write(kind, current, options.out)


def without_engine(kinds: list[Kind], current: Edition, options: argparse.Namespace) -> tuple[Path, list[str]]:
    """Build layer by layer, then write one archive with all images; answers it and what could not be built."""
    shop = Workshop(options.out, say)
    images: list[Image] = []
    missing: list[str] = []
    for number, kind in enumerate(kinds, 1):
        try:
            images.append(catalogue.build(kind, shop, current))
        except MissingToolError as error:
            say(f"{number}/{len(kinds)} {kind.name}: not made. {error}")
            missing.append(kind.name)
            continue
        sbom.write(kind, current, options.out)
        size = sum(layer.size for layer in images[-1].layers) / 1e6
        say(f"{number}/{len(kinds)} {images[-1].reference}: {size:.0f} MB, id {images[-1].digest[:12]}")
    name = f"lykta-{'-'.join(sorted(options.only))}.tar" if options.only else "lykta.tar"
    path: Path = options.out / name
    if images:
        pack(path, images)
    return path, missing


def pack(path: Path, images: list[Image]) -> None:
    """Write the archive, unless the one that is there already holds exactly these images."""
    note = path.with_suffix(".json")
    content = {image.reference: image.digest for image in images}
    if path.exists() and note.exists() and json.loads(note.read_text()) == content:
        say(f"{path.name} is up to date")
        return
    note.unlink(missing_ok=True)
    size = write_archive(path, images)
    note.write_text(json.dumps(content, indent=1) + "\n")
    say(f"{path.name}: {len(images)} images, {size / 1e6:.0f} MB")


def main() -> int:
    """Make the images asked for; the last line on standard output is the archive's path where there is one."""
    options = parser().parse_args()
    kinds = [kind for kind in KINDS if kind.name in (options.only or NAMES) and kind.name not in options.without]
    current = catalogue.edition()
    if options.list:
        print("\n".join(f"{current.reference(kind.name):<42}{kind.does}" for kind in kinds))
        return 0
    started = time.monotonic()
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    engine = "" if options.no_engine else engines.find()
    if engine:
        with_engine(engine, kinds, current, options)
        say(f"{len(kinds)} images in the store of {engine}, in {time.monotonic() - started:.0f} s")
        return 0
    say("no docker, podman or buildah that answers: making the images from a Debian root" if not options.no_engine else
        "making the images from a Debian root")  # fmt: skip
    path, missing = without_engine(kinds, current, options)
    if missing:
        say(f"not made: {', '.join(missing)} (the lines above say why)")
    say(f"done in {time.monotonic() - started:.0f} s; load it with docker load -i, kind load or ctr images import")
    print(path)
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
