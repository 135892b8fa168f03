"""The clip package: what its manifest says, how it is written, and how strictly it is read.

A package is a directory of `manifest.json` and the media files it names (one `clip.mp4` as a rule). The exact
format is on the README page of this library; this module is its only writer and reader.
"""

import json
import types
import typing
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Any, TypeVar

FORMAT = "lykta-clip/v1"
MANIFEST_NAME = "manifest.json"
CLIP_NAME = "clip.mp4"
SEAL_ACTION = "footage.hour.sealed"
"""Action of the audit entry that carries an hour's seal; its details repeat the seal's fields as strings."""

_T = TypeVar("_T")


class ManifestError(ValueError):
    """A manifest that is not exactly what the writer would have written."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes [offset, offset + length) of a media file."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """First byte after the span."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class ClipFragment:
    """One GOP: its evidence hash is over the bytes of `init` followed by those of `media`.

    Several fragments may share one `init`. `seal` indexes `ClipManifest.seals`, `leaf` is the fragment's place in
    that hour's tree and `path` its RFC 6962 inclusion proof there (hex, from the leaf up).
    """

    file: str
    init: Span
    media: Span
    from_at: str
    to_at: str
    sha256: str
    seal: int
    leaf: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SealEntry:
    """The audit entry that carries a seal: its exact leaf bytes as text, its index, its inclusion proof (hex)."""

    index: int
    leaf: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClipSeal:
    """A recorder's signed root over the first `count` fragments of one camera-hour and run."""

    hour: str
    run: str
    count: int
    root: str
    key_id: str
    signature: str
    entry: SealEntry


@dataclass(frozen=True, slots=True)
class ClipGap:
    """Time within the asked interval without footage; stated by the platform, not proved by the package."""

    from_at: str
    to_at: str
    cause: str


@dataclass(frozen=True, slots=True)
class ClipManifest:
    """Everything needed to lead from the bytes of a clip to a signed checkpoint.

    Instants are RFC 3339 UTC with milliseconds; `from_at` and `to_at` are the asked interval. `checkpoint` is the
    signed note whose tree all `SealEntry.path` proofs are for.
    """

    controller: str
    camera: str
    from_at: str
    to_at: str
    fragments: tuple[ClipFragment, ...]
    seals: tuple[ClipSeal, ...]
    checkpoint: str
    gaps: tuple[ClipGap, ...] = ()


def seal_statement(controller: str, camera: str, seal: ClipSeal) -> bytes:
    """Give the bytes that the recorder signed (docs/design/wire.md, hour root)."""
    parts = ("lykta-hour-seal/v1", controller, camera, seal.hour, seal.run, str(seal.count), seal.root)
    return ("\n".join(parts) + "\n").encode()


def encode_manifest(manifest: ClipManifest) -> bytes:
    """Write `manifest.json`: sorted keys, two spaces, UTF-8, a final newline, and the digest of all the rest."""
    content = {"format": FORMAT, **asdict(manifest)}
    return _dump(content | {"digest": sha256(_dump(content)).hexdigest()})


def decode_manifest(raw: bytes) -> ClipManifest:
    """Read `manifest.json` back. Raises ManifestError unless its form is exactly that of `encode_manifest`.

    The digest is not compared: see `digest_holds`.
    """
    try:
        content = json.loads(raw.decode())
    except ValueError as error:
        raise ManifestError(f"not JSON in UTF-8: {error}") from error
    except RecursionError as error:
        raise ManifestError("nested too deeply") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ManifestError(f"not a manifest of format {FORMAT}")
    digest = content.pop("digest", None)
    manifest = _read(ClipManifest, content, "manifest")
    if not isinstance(digest, str):
        raise ManifestError("the digest is missing")
    try:
        written = _dump({"format": FORMAT, **asdict(manifest), "digest": digest})
    except UnicodeEncodeError as error:
        raise ManifestError("a text in it is not Unicode") from error
    if written != raw:
        raise ManifestError("not in the one spelling in which manifests are written")
    return manifest


def digest_holds(raw: bytes) -> bool:
    """Tell whether the digest in the manifest is that of the rest: it finds damage, a forger can renew it."""
    content = json.loads(raw)
    digest = content.pop("digest")
    return bool(sha256(_dump(content)).hexdigest() == digest)


def _dump(content: dict[str, Any]) -> bytes:
    """Encode as the one spelling of manifests."""
    return (json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def _read(kind: type[_T], value: Any, where: str) -> _T:
    """Build a dataclass from parsed JSON; every field must be there, of its type, and no other."""
    if not isinstance(value, dict) or set(value) != {item.name for item in fields(kind)}:  # type: ignore[arg-type]
        raise ManifestError(f"{where} does not have exactly the fields of {kind.__name__}")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _value(hints[name], item, f"{where}.{name}") for name, item in value.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    """Read one field by its annotation: str, int from 0, a dataclass, or a tuple of one of them."""
    if isinstance(hint, types.GenericAlias):
        if not isinstance(value, list):
            raise ManifestError(f"{where} is not a list")
        return tuple(_value(hint.__args__[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if hint is int:
        if type(value) is not int or value < 0:
            raise ManifestError(f"{where} is not a whole number from 0")
        return value
    if hint is str:
        if not isinstance(value, str):
            raise ManifestError(f"{where} is not a text")
        return value
    return _read(hint, value, where)
