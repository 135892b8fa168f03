"""Brings our images to a cluster: makes them where they are not made, and loads them into its nodes."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.cluster.programs import LATE, ROOT, ClusterError, LateError, run_bounded
from tools.images import catalogue, engines

FOLDER = ROOT / ".cache" / "images"
LOADER = "LYKTA_IMAGE_LOADER"
MAKE_S = 3600
LOAD_S = 900
Say = Callable[[str], None]


def loader_of(context: str, named: str = "", environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the command that loads an archive, `{}` where its path goes; raises ClusterError where none is known."""
    if command := named or environment.get(LOADER, ""):
        words = shlex.split(command)
        return words if "{}" in words else [*words, "{}"]
    for prefix, words in (
        ("kind-", ["kind", "load", "image-archive", "{}", "--name"]),
        ("k3d-", ["k3d", "image", "import", "{}", "--cluster"]),
    ):
        if context.startswith(prefix):
            return [*words, context.removeprefix(prefix)]
    raise ClusterError(
        f"how do images get into the nodes of {context}? It is neither kind nor k3d: name a command that takes the "
        f"archive's path (--loader, or {LOADER}), or push the images and give --registry HOST/PATH"
    )


def archives(say: Say, seconds: float = MAKE_S) -> list[Path]:
    """Make every image that is not made, and return the archives that hold them; raises ClusterError."""
    say("images: making those that are not made …")
    code = run_bounded([sys.executable, "-m", "tools.images"], seconds)
    if code == LATE:
        raise LateError(f"the images were not made within {seconds:.0f} s")
    if code:
        raise ClusterError("not every image was made; the lines of [images] above say why")
    engine = engines.find()
    return _saved(engine, say) if engine else [FOLDER / "lykta.tar"]


def _saved(engine: str, say: Say) -> list[Path]:
    edition = catalogue.edition()
    references = [edition.reference(name) for name in catalogue.NAMES]
    path = FOLDER / f"{engine}.tar"
    note, content = path.with_suffix(".json"), _identities(engine, references)
    if not content or not path.exists() or not note.exists() or note.read_text() != content:
        say(f"images: writing an archive from the store of {engine} …")
        note.unlink(missing_ok=True)
        engines.save(engine, references, path)
        note.write_text(content)
    return sorted(FOLDER.glob(f"{path.name}-*.tar")) if engine == "buildah" else [path]


def _identities(engine: str, references: list[str]) -> str:
    """The ids of images in an engine's store; nothing where it does not tell."""
    command = [engine, "image", "inspect", "--format", "{{.Id}}", *references]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_S, check=False)
    return done.stdout if done.returncode == 0 else ""


def load(command: list[str], paths: list[Path], say: Say) -> None:
    """Load archives into the nodes; raises ClusterError with what the loader said."""
    if shutil.which(command[0]) is None:
        raise ClusterError(f"{command[0]} loads images into this cluster, and is not installed")
    for path in paths:
        say(f"images: loading {path.name} ({path.stat().st_size / 1e6:.0f} MB) with {command[0]} …")
        words = [str(path) if word == "{}" else word for word in command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=LOAD_S, check=False)
        if done.returncode:
            raise ClusterError(f"{shlex.join(words)}: {(done.stdout + done.stderr).strip()[-1500:]}")


def imprint(paths: list[Path]) -> str:
    """A short text that changes with the images: pods roll when it does, though the images' names stay."""
    found = hashlib.sha256()
    for path in paths:
        note = path.with_suffix(".json")
        seen = note.read_text() if note.exists() else json.dumps([path.stat().st_size, path.stat().st_mtime_ns])
        found.update(seen.encode())
    return found.hexdigest()[:12]
