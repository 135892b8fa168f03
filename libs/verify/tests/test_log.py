"""A downloaded log is proved as a whole, and whatever was changed in it is found and named."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lykta_verify.log import verify_log
from lykta_verify.merkle import leaf_hash
from lykta_verify.note import NoteError
from lykta_verify.report import Report

ENTRIES = [f'{{"action":"footage.playback.opened","number":{number}}}'.encode() for number in range(600)]


def messages(report: Report) -> str:
    """All findings as one text."""
    return " | ".join(f"{item.check}: {item.where}: {item.message}" for item in report.findings)


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 600])
def test_an_untouched_log_holds(builders: Any, tmp_path: Path, size: int) -> None:
    """Logs of every shape hold, with old partial tiles lying beside the newer ones."""
    log = builders.write_log(tmp_path, ENTRIES[:size], history=tuple({size // 3, size // 2}))
    report = verify_log(log, builders.vkey(), builders.checkpoint(ENTRIES[: size // 2]))
    assert report.holds, messages(report)
    assert report.facts["size"] == size
    assert not report.notes


def test_every_flipped_byte_of_a_small_log_is_found_and_its_file_named(builders: Any, tmp_path: Path) -> None:
    """Exhaustively: whichever byte of any file is changed, the report names that file and, but for notes, the byte."""
    log = builders.write_log(tmp_path, ENTRIES[:5], history=(3,))
    files = [path for path in sorted(log.rglob("*")) if path.is_file()]
    assert len(files) == 5
    for path in files:
        original = path.read_bytes()
        name = path.relative_to(log).as_posix()
        for position in range(len(original)):
            changed = bytearray(original)
            changed[position] ^= 0x04
            path.write_bytes(changed)
            report = verify_log(log, builders.vkey())
            assert {item.where.split(",")[0] for item in report.findings} == {name}, (name, position)
            if name != "checkpoint":
                assert f"byte {position}" in messages(report), (name, position, messages(report))
        path.write_bytes(original)
    assert verify_log(log, builders.vkey()).holds


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_flipped_byte_of_a_larger_log_is_found(builders: Any, tmp_path: Path, data: st.DataObject) -> None:
    """In a log of three tiles with history, any change to any file is found and the file is named."""
    log = tmp_path / "log"
    if not log.exists():
        builders.write_log(log, ENTRIES, history=(300,))
    files = [path for path in sorted(log.rglob("*")) if path.is_file()]
    path = data.draw(st.sampled_from(files))
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        report = verify_log(log, builders.vkey())
    finally:
        path.write_bytes(original)
    assert not report.holds
    assert path.relative_to(log).as_posix() in messages(report)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_cut_or_grown_file_is_found(builders: Any, tmp_path: Path, data: st.DataObject) -> None:
    """A file that lost or gained bytes at its end is found."""
    log = tmp_path / "log"
    if not log.exists():
        builders.write_log(log, ENTRIES[:300])
    path = data.draw(st.sampled_from([path for path in sorted(log.rglob("*")) if path.is_file()]))
    original = path.read_bytes()
    cut = data.draw(st.integers(0, len(original) - 1))
    path.write_bytes(data.draw(st.sampled_from([original[:cut], original + b"\x00", original + original])))
    try:
        assert not verify_log(log, builders.vkey()).holds
    finally:
        path.write_bytes(original)


def test_an_entry_s_changed_byte_is_named_with_its_old_value(builders: Any, tmp_path: Path) -> None:
    """The report says which byte of which entry was changed, what it is and what it was."""
    log = builders.write_log(tmp_path, ENTRIES[:300])
    path = log / "tile/entries/001.p/44"
    original = path.read_bytes()
    position = original.index(b'"number":270') + len(b'"number":27')
    path.write_bytes(original[:position] + b"1" + original[position + 1 :])
    report = verify_log(log, builders.vkey())
    (finding,) = report.findings
    assert finding.where == "tile/entries/001.p/44, entry 270"
    assert finding.message == f"byte {position} was changed: it is 0x31, logged was 0x30"


def test_missing_files_are_named(builders: Any, tmp_path: Path) -> None:
    """A log without its checkpoint, an entry bundle or a tile does not hold, and the file is named."""
    log = builders.write_log(tmp_path, ENTRIES[:300])
    for name in ("checkpoint", "tile/entries/000", "tile/0/001.p/44", "tile/1/000.p/1"):
        path = log / name
        kept = path.read_bytes()
        path.unlink()
        assert name in messages(verify_log(log, builders.vkey()))
        path.write_bytes(kept)


def test_strange_files_among_the_tiles_are_named(builders: Any, tmp_path: Path) -> None:
    """A file that no log would write is not passed over."""
    log = builders.write_log(tmp_path, ENTRIES[:3])
    (log / "tile/0/x").write_bytes(b"")
    assert "tile/0/x: is no file of a log" in messages(verify_log(log, builders.vkey()))


def test_files_newer_than_the_checkpoint_are_noted(builders: Any, tmp_path: Path) -> None:
    """A log that grew while it was downloaded holds; what the checkpoint cannot prove is noted."""
    log = builders.write_log(tmp_path, ENTRIES[:300])
    (log / "checkpoint").write_bytes(builders.checkpoint(ENTRIES[:290]))
    report = verify_log(log, builders.vkey())
    assert report.holds, messages(report)
    assert any("beyond the checkpoint" in note for note in report.notes)
    path = log / "tile/entries/001.p/44"
    original = path.read_bytes()
    path.write_bytes(original[:10] + b"!" + original[11:])
    assert "tile/entries/001.p/44, entry 256" in messages(verify_log(log, builders.vkey()))


def test_a_cut_log_is_found_with_an_earlier_checkpoint(builders: Any, tmp_path: Path) -> None:
    """A log that lost its newest entries, though rightly signed, does not extend an earlier checkpoint."""
    log = builders.write_log(tmp_path, ENTRIES[:100])
    report = verify_log(log, builders.vkey(), builders.checkpoint(ENTRIES[:101]))
    assert "it was cut" in messages(report)


def test_a_rewritten_log_is_found_with_an_earlier_checkpoint(builders: Any, tmp_path: Path) -> None:
    """A log rewritten and signed anew by its own key is caught by a checkpoint from before."""
    rewritten = [*ENTRIES[:50], b"nothing happened", *ENTRIES[51:100]]
    log = builders.write_log(tmp_path, rewritten)
    assert verify_log(log, builders.vkey()).holds
    report = verify_log(log, builders.vkey(), builders.checkpoint(ENTRIES[:60]))
    assert "the log was rewritten" in messages(report)
    assert "earlier checkpoint" in messages(verify_log(log, builders.vkey(), b"not a note"))


def test_an_entry_changed_together_with_its_tile_is_narrowed_down(builders: Any, tmp_path: Path) -> None:
    """Whoever changes an entry and its leaf hash is caught by the tile above, which names the 256 entries."""
    log = builders.write_log(tmp_path, ENTRIES)
    forged = [*ENTRIES[:300], b"nothing happened", *ENTRIES[301:]]
    bundle = b"".join(len(entry).to_bytes(2, "big") + entry for entry in forged[256:512])
    (log / "tile/entries/001").write_bytes(bundle)
    tile = bytearray((log / "tile/0/001").read_bytes())
    tile[(300 - 256) * 32 : (301 - 256) * 32] = leaf_hash(forged[300])
    (log / "tile/0/001").write_bytes(tile)
    report = verify_log(log, builders.vkey())
    assert "tile/1/000.p/2, hash 1: is not the root of tile/0/001" in messages(report)


def test_another_log_does_not_pass(builders: Any, tmp_path: Path) -> None:
    """A log that holds under its own key does not hold under another's, and a malformed key is wrong usage."""
    log = builders.write_log(tmp_path, ENTRIES[:3])
    assert "not signed by" in messages(verify_log(log, builders.vkey(key=builders.recorder_key)))
    with pytest.raises(NoteError):
        verify_log(log, "no key")
