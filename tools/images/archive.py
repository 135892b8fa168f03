"""Writes layers and docker-archives (what `docker save` writes), the same bytes from the same content."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EPOCH = 315_532_800  # 1980-01-01, the modification time of every file in a layer
BLOCK = 1 << 20
Keep = Callable[[str], bool]


@dataclass(frozen=True)
class Entry:
    """One thing in a layer: a directory, a file (`source` or `content`) or a symbolic link to `target`."""

    name: str
    mode: int = 0o644
    source: Path | None = None
    content: bytes | None = None
    target: str = ""
    owner: int = 0


@dataclass(frozen=True)
class Layer:
    """A written layer: its tar file, the digest of its bytes (without algorithm), and its size in bytes."""

    path: Path
    digest: str
    size: int


@dataclass(frozen=True)
class Image:
    """One image: its name with tag, its layers from the lowest up, its configuration, and when it was made."""

    reference: str
    layers: Sequence[Layer]
    config: Mapping[str, Any] = field(default_factory=dict)
    created: str = "1980-01-01T00:00:00Z"
    architecture: str = "amd64"

    def manifest_config(self) -> bytes:
        """The configuration of the image as its digest is taken of it."""
        content = {
            "architecture": self.architecture,
            "os": "linux",
            "created": self.created,
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in self.layers]},
            "history": [{"created": self.created, "created_by": layer.path.stem} for layer in self.layers],
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """The image's id: SHA-256 of its configuration."""
        return hashlib.sha256(self.manifest_config()).hexdigest()


def tree(folder: Path, prefix: str = "", keep: Keep = lambda _: True) -> Iterator[Entry]:
    """Everything under a folder that `keep` wants, as entries below `prefix`; what is not kept is not entered.

    Set-user-id bits are dropped; sockets, devices and pipes are left out.
    """
    for child in sorted(folder.iterdir()):
        name = f"{prefix}{child.name}"
        if not keep(name):
            continue
        found = child.lstat()
        mode = stat.S_IMODE(found.st_mode) & 0o1777
        if stat.S_ISLNK(found.st_mode):
            yield Entry(name, 0o777, target=os.readlink(child))
        elif stat.S_ISDIR(found.st_mode):
            yield Entry(f"{name}/", mode)
            yield from tree(child, f"{name}/", keep)
        elif stat.S_ISREG(found.st_mode):
            yield Entry(name, mode, source=child)


class _Digesting(io.RawIOBase):
    """A file that is written through, and digested on the way."""

    def __init__(self, target: io.BufferedWriter) -> None:
        self._target = target
        self.digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._target.write(data)


def write_layer(path: Path, entries: Iterable[Entry]) -> Layer:
    """Write a layer's tar file, by a rename at its end; raises ValueError for a name that comes twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    seen: set[str] = set()
    with half.open("wb") as file:
        stream = _Digesting(file)
        with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for entry in entries:
                if entry.name.rstrip("/") in seen:
                    raise ValueError(f"{entry.name} stands twice in layer {path.name}")
                seen.add(entry.name.rstrip("/"))
                add(tar, entry)
    half.replace(path)
    return Layer(path, stream.digest.hexdigest(), stream.size)


def add(tar: tarfile.TarFile, entry: Entry) -> None:
    """Add one entry with nothing in it that depends on the machine or the hour."""
    info = tarfile.TarInfo(entry.name.rstrip("/"))
    info.mode, info.mtime, info.uid, info.gid = entry.mode, EPOCH, entry.owner, entry.owner
    if entry.name.endswith("/"):
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif entry.target:
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
        tar.addfile(info)
    elif entry.source is not None:
        info.size = entry.source.stat().st_size
        with entry.source.open("rb") as file:
            tar.addfile(info, file)
    else:
        content = entry.content or b""
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))


def write_archive(path: Path, images: Sequence[Image]) -> int:
    """Write one docker-archive with all images, each layer once, by a rename at its end; answers its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    manifest = [
        {
            "Config": f"{image.digest}.json",
            "RepoTags": [image.reference],
            "Layers": [f"{layer.digest}/layer.tar" for layer in image.layers],
        }
        for image in images
    ]
    layers = {layer.digest: layer for image in images for layer in image.layers}
    with tarfile.open(half, "w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, Entry("manifest.json", content=json.dumps(manifest, separators=(",", ":")).encode()))
        for image in {image.digest: image for image in images}.values():
            add(tar, Entry(f"{image.digest}.json", content=image.manifest_config()))
        for digest in sorted(layers):
            add(tar, Entry(f"{digest}/", 0o755))
            add(tar, Entry(f"{digest}/layer.tar", source=layers[digest].path))
    half.replace(path)
    return path.stat().st_size
