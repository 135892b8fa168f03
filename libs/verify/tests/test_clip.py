"""A clip package is led from its bytes to the signed checkpoint, and the first broken link is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lykta_verify.clip import ClipManifest, ManifestError, Span, decode_manifest, encode_manifest
from lykta_verify.clip_check import verify_clip
from lykta_verify.report import Report


def check(builders: Any, directory: Path) -> Report:
    """Verify with the right keys."""
    return verify_clip(directory, builders.vkey(), [builders.log_key.public_key(), builders.recorder_key.public_key()])


def with_seal(manifest: ClipManifest, **changes: Any) -> ClipManifest:
    """Change fields of the only seal."""
    return replace(manifest, seals=(replace(manifest.seals[0], **changes),))


def with_fragment(manifest: ClipManifest, number: int, **changes: Any) -> ClipManifest:
    """Change fields of one fragment."""
    parts = list(manifest.fragments)
    parts[number] = replace(parts[number], **changes)
    return replace(manifest, fragments=tuple(parts))


def test_an_untouched_package_holds(builders: Any, tmp_path: Path) -> None:
    """Every link from the bytes to the checkpoint is proved, in order."""
    report = check(builders, builders.build_clip().write(tmp_path / "clip"))
    assert report.holds, report.text()
    assert len(report.proved) == 7
    assert report.facts["fragments"] == 3
    assert report.facts["origin"] == "log.example/audit"


def test_every_flipped_byte_of_a_package_is_found(builders: Any, tmp_path: Path) -> None:
    """Exhaustively: no byte of the media or of the manifest can be changed without a finding."""
    directory = builders.build_clip(8).write(tmp_path / "clip")
    for name in ("clip.mp4", "manifest.json"):
        original = (directory / name).read_bytes()
        for position in range(len(original)):
            changed = bytearray(original)
            changed[position] ^= 0x01
            (directory / name).write_bytes(changed)
            report = check(builders, directory)
            assert not report.holds, (name, position)
            assert name == "manifest.json" or report.findings[0].check == "fragment"
        (directory / name).write_bytes(original)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_change_to_a_package_is_found(builders: Any, tmp_path: Path, data: st.DataObject) -> None:
    """Bytes replaced, cut out or put in anywhere are found."""
    directory = builders.build_clip().write(tmp_path / "clip")
    path = directory / data.draw(st.sampled_from(["clip.mp4", "manifest.json"]))
    original = path.read_bytes()
    begin = data.draw(st.integers(0, len(original)))
    end = data.draw(st.integers(begin, min(begin + 4, len(original))))
    changed = original[:begin] + data.draw(st.binary(max_size=4)) + original[end:]
    path.write_bytes(changed)
    assert check(builders, directory).holds == (changed == original)


def test_the_changed_fragment_is_named(builders: Any, tmp_path: Path) -> None:
    """A changed media byte is reported with file, fragment, bytes and time."""
    directory = builders.build_clip().write(tmp_path / "clip")
    media = bytearray((directory / "clip.mp4").read_bytes())
    media[-1] ^= 0xFF
    (directory / "clip.mp4").write_bytes(media)
    (finding,) = check(builders, directory).findings
    assert finding.check == "fragment"
    assert finding.where.startswith("clip.mp4, fragment 2 (bytes ")
    assert "from 2026-11-23T08:00:04.000Z" in finding.where
    assert "not the recorded ones" in finding.message


def test_a_changed_hash_is_told_from_changed_bytes(builders: Any, tmp_path: Path) -> None:
    """When the manifest's hash was changed and the bytes are right, the report says so."""
    clip = builders.build_clip()
    clip.manifest = with_fragment(clip.manifest, 1, sha256="0" * 64)
    (finding,) = check(builders, clip.write(tmp_path / "clip")).findings
    assert "its hash in manifest.json was changed" in finding.message


def test_each_forged_link_is_the_one_that_is_named(builders: Any, tmp_path: Path) -> None:
    """Each link forged on its own, in a manifest with a renewed digest, is named as the first that does not hold."""
    manifest = builders.build_clip().manifest
    seal = manifest.seals[0]
    entry = seal.entry
    forged = {
        "manifest": replace(manifest, fragments=()),
        "fragment": with_fragment(manifest, 0, sha256="0" * 64),
        "hour root": with_fragment(manifest, 0, leaf=1),
        "seal": with_seal(manifest, signature=seal.signature[::-1]),
        "audit entry": with_seal(manifest, entry=replace(entry, leaf=entry.leaf.replace('"ks"', '"kx"'))),
        "checkpoint": replace(manifest, checkpoint=manifest.checkpoint.replace("\n7\n", "\n8\n")),
        "inclusion": with_seal(manifest, entry=replace(entry, leaf=entry.leaf + " ")),
        "times": with_fragment(manifest, 0, from_at="2026-11-23T07:59:59.000Z"),
    }
    for link, changed in forged.items():
        clip = builders.build_clip()
        clip.manifest = changed
        report = check(builders, clip.write(tmp_path / "clip"))
        assert report.findings[0].check == link, (link, report.text())


@pytest.mark.parametrize(
    ("field", "value"),
    [("hour", "20261123T09"), ("run", "other"), ("count", 7), ("root", "0" * 64)],
)
def test_a_seal_for_something_else_is_refused(builders: Any, tmp_path: Path, field: str, value: object) -> None:
    """A seal with another hour, run, count or root than the recorder signed is refused."""
    clip = builders.build_clip()
    clip.manifest = with_seal(clip.manifest, **{field: value})
    assert check(builders, clip.write(tmp_path / "clip")).findings[0].check in {"seal", "hour root"}


@pytest.mark.parametrize("field", ["controller", "camera"])
def test_a_clip_of_another_camera_is_refused(builders: Any, tmp_path: Path, field: str) -> None:
    """A clip cannot be passed off as another camera's or controller's: the recorder signed those too."""
    clip = builders.build_clip()
    clip.manifest = replace(clip.manifest, **{field: "other"})
    assert check(builders, clip.write(tmp_path / "clip")).findings[0].check == "seal"


def test_an_audit_entry_about_another_seal_is_refused(builders: Any, tmp_path: Path) -> None:
    """An entry that is in the log and speaks of another root does not carry this seal."""
    clip = builders.build_clip()
    clip.manifest = with_seal(clip.manifest, key_id="other")
    finding = check(builders, clip.write(tmp_path / "clip")).findings[0]
    assert (finding.check, finding.message) == ("audit entry", "its key_id is not that of the seal")
    for leaf in ("[]", "{", "{}", '{"details": 1, "action": 1, "controller": 1}'):
        clip.manifest = with_seal(clip.manifest, entry=replace(clip.manifest.seals[0].entry, leaf=leaf))
        assert check(builders, clip.write(tmp_path / "clip")).findings[0].message == "is not an audit record"


def test_the_wrong_recorder_is_refused(builders: Any, tmp_path: Path) -> None:
    """A clip does not hold under another recorder's key."""
    directory = builders.build_clip().write(tmp_path / "clip")
    report = verify_clip(directory, builders.vkey(), [builders.log_key.public_key()])
    assert report.findings[0].check == "seal"


def test_bytes_outside_the_fragments_are_found(builders: Any, tmp_path: Path) -> None:
    """Bytes put before, between or after fragments, and further files, are found."""
    clip = builders.build_clip()
    clip.media += b"more"
    assert "has 201 bytes, the fragments have 197" in check(builders, clip.write(tmp_path / "clip")).findings[0].message
    clip = builders.build_clip()
    clip.manifest = replace(clip.manifest, fragments=clip.manifest.fragments[1:])
    assert "belong to no fragment" in check(builders, clip.write(tmp_path / "clip")).findings[0].message
    directory = builders.build_clip().write(tmp_path / "clip")
    (directory / "notes.txt").write_text("x")
    assert check(builders, directory).findings[0].where == "notes.txt"


def test_missing_files_are_found(builders: Any, tmp_path: Path) -> None:
    """A package without its media or its manifest does not hold."""
    directory = builders.build_clip().write(tmp_path / "clip")
    (directory / "clip.mp4").unlink()
    assert check(builders, directory).findings[0].where == "clip.mp4"
    (directory / "manifest.json").unlink()
    assert check(builders, directory).findings[0].where == "manifest.json"


def test_a_fragment_left_out_is_noted(builders: Any, tmp_path: Path) -> None:
    """When a recorded fragment is left out of the middle, the clip holds and the report says what is not in it."""
    clip = builders.build_clip()
    first, middle, last = clip.manifest.fragments
    clip.media = clip.media[: middle.media.offset] + clip.media[middle.media.end :]
    moved = replace(last, media=Span(middle.media.offset, last.media.length))
    clip.manifest = replace(clip.manifest, fragments=(first, moved))
    report = check(builders, clip.write(tmp_path / "clip"))
    assert report.holds
    assert report.notes == [
        "recorded and not in this clip: leaves 3–3 of run 01JD0000000000000000000000, hour 20261123T08"
    ]


def test_fragments_out_of_order_are_refused(builders: Any, tmp_path: Path) -> None:
    """Fragments listed in another order than they were recorded in are refused."""
    clip = builders.build_clip()
    clip.manifest = replace(clip.manifest, fragments=clip.manifest.fragments[::-1])
    assert check(builders, clip.write(tmp_path / "clip")).findings[0].check == "times"


def test_a_manifest_reads_back(builders: Any) -> None:
    """What is written is what is read."""
    manifest = builders.build_clip().manifest
    assert decode_manifest(encode_manifest(manifest)) == manifest


@pytest.mark.parametrize(
    "change",
    [
        (b'"leaf": 2', b'"leaf": -2'),
        (b'"leaf": 2', b'"leaf": true'),
        (b'"leaf": 2', b'"leaf": 2.0'),
        (b'"leaf": 2,', b'"leaf": 2, "more": 1,'),
        (b'"camera": "torg-1"', b'"camera": null'),
        (b'"camera": "torg-1"', b'"camera": "\\ud800"'),
        (b'"camera": "torg-1"', b'"camera": "../etc"'),
        (b'"file": "clip.mp4"', b'"file": "../clip.mp4"'),
        (b'"seal": 0', b'"seal": 1'),
        (b'"from_at": "2026-11-23T08:00:02.000Z"', b'"from_at": "now"'),
        (b'"gaps": [', b'"gaps": [[['),
        (b'"run": "', b'"run": "\\n'),
        (b'  "format"', b' "format"'),
        (b"clip/v1", b"clip/v2"),
        (b'"digest"', b'"digset"'),
        (b'"root": "', b'"root": "Z'),
    ],
)
def test_a_manifest_in_another_form_is_refused(builders: Any, tmp_path: Path, change: tuple[bytes, bytes]) -> None:
    """Wrong types, unknown fields, other spellings, paths that lead out: the manifest is refused as such."""
    directory = builders.build_clip().write(tmp_path / "clip")
    raw = (directory / "manifest.json").read_bytes()
    assert change[0] in raw
    (directory / "manifest.json").write_bytes(raw.replace(*change))
    report = check(builders, directory)
    assert [item.check for item in report.findings] == ["manifest"], report.text()


def test_a_deeply_nested_manifest_is_refused() -> None:
    """A manifest made to exhaust the reader is refused."""
    with pytest.raises(ManifestError):
        decode_manifest(b"[" * 200_000)
