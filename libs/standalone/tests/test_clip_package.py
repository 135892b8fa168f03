"""A clip package keeps every byte that came, once, and says where it lies."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from lykta.storage.v1 import playback_service_pb2 as pb2
from lykta_common.errors import PlatformError
from lykta_standalone.clip_package import ClipPackage, require_footage
from lykta_standalone.playback import Wanted, stamp
from lykta_verify.clip import SealEntry, decode_manifest

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
WANTED = Wanted("ks", "torg-1", START, START.replace(second=4))


def _init(epoch: int, payload: bytes) -> pb2.ReadResponse:
    return pb2.ReadResponse(init=pb2.Init(codec="avc1.4d401e", epoch=epoch, bytes=payload))


def _fragment(second: int, init: bytes, payload: bytes, count: int = 4) -> pb2.ReadResponse:
    seal = pb2.Seal(
        run="run", leaf_index=second, count=count, root=b"\1" * 32, key_id="recorder-0", signature=b"s" * 64,
        path=[b"\2" * 32], hour="20261123T09", audit_entry_id=f"entry-{count}",
    )  # fmt: skip
    fragment = pb2.Fragment(
        to=stamp(START.replace(second=second + 1)), sha256=sha256(init + payload).digest(), bytes=payload, seal=seal
    )
    getattr(fragment, "from").CopyFrom(stamp(START.replace(second=second)))
    return pb2.ReadResponse(fragment=fragment)


def test_a_repeated_init_is_left_out_and_a_new_epoch_begins_a_new_file(tmp_path: Path) -> None:
    """Init once per epoch, then its fragments; hashes hold over the bytes at the spans of the manifest."""
    package = ClipPackage(tmp_path / "clip")
    items = [
        _init(1, b"INIT-A"), _fragment(0, b"INIT-A", b"aaaa"), _init(1, b"INIT-A"), _fragment(1, b"INIT-A", b"bb"),
        _init(2, b"INIT-B"), _fragment(2, b"INIT-B", b"ccc", count=9),
    ]  # fmt: skip
    for item in items:
        package.add(item)
    entries = {f"entry-{count}": SealEntry(count, "{}", ()) for count in (4, 9)}
    manifest = decode_manifest(package.finish(WANTED, entries, "note").read_bytes())
    assert package.files == ["clip.mp4", "clip-2.mp4"]
    assert (tmp_path / "clip" / "clip.mp4").read_bytes() == b"INIT-Aaaaabb"
    assert (tmp_path / "clip" / "clip-2.mp4").read_bytes() == b"INIT-Bccc"
    assert [seal.count for seal in manifest.seals] == [4, 9]
    for part in manifest.fragments:
        content = (tmp_path / "clip" / part.file).read_bytes()
        init, media = content[part.init.offset : part.init.end], content[part.media.offset : part.media.end]
        assert sha256(init + media).hexdigest() == part.sha256


def test_an_epoch_without_fragments_leaves_no_file(tmp_path: Path) -> None:
    """Every byte of a package belongs to a fragment, so an init alone is not written."""
    package = ClipPackage(tmp_path / "clip")
    package.add(_init(1, b"INIT-A"))
    package.add(_init(2, b"INIT-B"))
    package.add(_fragment(0, b"INIT-B", b"aaaa"))
    assert [path.name for path in (tmp_path / "clip").iterdir()] == ["clip.mp4"]
    assert (tmp_path / "clip" / "clip.mp4").read_bytes() == b"INIT-Baaaa"


def test_nothing_delivered_is_an_error_that_says_what_was_there(tmp_path: Path) -> None:
    """A gap or an edge instead of footage is named."""
    package = ClipPackage(tmp_path / "clip")
    package.add(pb2.ReadResponse(gap=pb2.Gap(cause=pb2.GAP_CAUSE_CAMERA)))
    package.add(pb2.ReadResponse(edge=pb2.Edge(reason=pb2.EDGE_REASON_DELETED)))
    with pytest.raises(PlatformError, match="gap CAMERA, edge DELETED"):
        require_footage(package)


def test_a_directory_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    """An existing clip is never mixed with another."""
    (tmp_path / "other").write_text("x")
    with pytest.raises(PlatformError, match="--output"):
        ClipPackage(tmp_path)
