"""The spool keeps what it says it kept: whatever is cut off, what comes back is a beginning of what was written."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from lykta_ingest import journal as journal_module
from lykta_ingest.commit import GroupCommit
from lykta_ingest.journal import FIRST_FREE_KIND, Journal, Record, SpoolBusyError, SpoolFullError

MIB = 1 << 20


class Draft:
    """A draft of given records that remembers whether it was abandoned."""

    def __init__(self, *records: Record) -> None:
        self.records = records
        self.abandoned = 0

    def build(self) -> Sequence[Record]:
        """Return the records."""
        return self.records

    def abandon(self) -> None:
        """Count."""
        self.abandoned += 1


def record(key: str, size: int = 100, position: int = 0, subject: str = "", part: int = 0) -> Record:
    """Return a record whose body follows from its key; parts of one key differ in their metadata."""
    body = hashlib.sha256(key.encode()).digest() * (size // 32 + 1)
    return Record(
        FIRST_FREE_KIND, key, b"meta of %s %d" % (key.encode(), part), body[:size], subject=subject, position=position
    )


def written(tmp_path: Path, count: int) -> bytes:
    """Write records one by one and return the bytes of the one file."""
    journal, _ = Journal.open(tmp_path, 64 * MIB)
    for number in range(count):
        results = journal.commit([Draft(record(f"k{number}", 50 + number * 7, number + 1, "cam"))])
        assert not isinstance(results[0], Exception)
    journal.close()
    (path,) = tmp_path.glob("*.journal")
    return path.read_bytes()


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_truncation_recovers_a_prefix(tmp_path_factory: Any, data: st.DataObject) -> None:
    """Cut at any byte, the journal opens, gives back the first records whole, and takes new ones."""
    whole = written(tmp_path_factory.mktemp("whole"), 12)
    cut = data.draw(st.integers(0, len(whole)))
    directory = tmp_path_factory.mktemp("cut")
    (directory / f"{1:020d}.journal").write_bytes(whole[:cut])
    journal, recovery = Journal.open(directory, 64 * MIB)
    keys = [entry.key for entry in recovery.entries]
    assert keys == [f"k{number}" for number in range(len(keys))]
    assert recovery.marks.get("cam", 0) == len(keys)
    for entry in recovery.entries:
        assert journal.read(entry.location) == record(entry.key, entry.location.length).body
    assert not isinstance(journal.commit([Draft(record("new"))])[0], Exception)
    journal.close()
    journal, recovery = Journal.open(directory, 64 * MIB)
    assert [entry.key for entry in recovery.entries] == [*keys, "new"]
    journal.close()


@given(at=st.integers(0, 3000), flip=st.integers(1, 255))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_byte_in_the_last_file_never_yields_a_wrong_record(tmp_path_factory: Any, at: int, flip: int) -> None:
    """A damaged byte ends the recovery there; what comes back is as it was written."""
    whole = bytearray(written(tmp_path_factory.mktemp("whole"), 8))
    whole[at % len(whole)] ^= flip
    directory = tmp_path_factory.mktemp("flipped")
    (directory / f"{1:020d}.journal").write_bytes(whole)
    journal, recovery = Journal.open(directory, 64 * MIB)
    keys = [entry.key for entry in recovery.entries]
    assert keys == [f"k{number}" for number in range(len(keys))]
    for entry in recovery.entries:
        assert journal.read(entry.location) == record(entry.key, entry.location.length).body
    journal.close()


def test_files_go_oldest_first_and_only_when_all_they_hold_is_done(tmp_path: Path) -> None:
    """A file stays while one record in it is wanted; then it and the finished ones after it are given back."""
    journal, _ = Journal.open(tmp_path, 16 * MIB, 64 * 1024)
    for number in range(20):
        journal.commit([Draft(record(f"k{number}", 20_000))])
    files = sorted(tmp_path.glob("*.journal"))
    assert len(files) > 5
    journal.commit([], [f"k{number}" for number in range(1, 20)])
    assert files[0].exists()
    journal.commit([], ["k0"])
    left = sorted(tmp_path.glob("*.journal"))
    assert left == files[-1:]
    assert journal.used_bytes == left[0].stat().st_size
    journal.close()


def test_one_record_that_is_never_done_does_not_fill_the_spool(tmp_path: Path) -> None:
    """What is left in old files is carried over when room is short; it stays readable, also after a restart."""
    journal, _ = Journal.open(tmp_path, MIB, 64 * 1024)
    (stuck,) = journal.commit([Draft(record("stuck", 3_000))])
    assert isinstance(stuck, list)
    for number in range(200):
        (result,) = journal.commit([Draft(record(f"k{number}", 20_000))], [f"k{number - 1}"])
        assert not isinstance(result, Exception)
        assert journal.read(stuck[0]) == record("stuck", 3_000).body
    assert journal.used_bytes < MIB * 0.75
    journal.close()
    journal, recovery = Journal.open(tmp_path, MIB, 64 * 1024)
    assert sorted(entry.key for entry in recovery.entries) == ["k199", "stuck"]
    found = {entry.key: entry.location for entry in recovery.entries}
    assert journal.read(found["stuck"]) == record("stuck", 3_000).body
    journal.commit([], ["stuck", "k199"])
    assert len(list(tmp_path.glob("*.journal"))) == 1
    journal.close()


def test_a_record_that_was_copied_before_a_crash_comes_back_once(tmp_path: Path) -> None:
    """When the machine stops between copying and deleting, recovery gives back one of the two copies."""
    journal, _ = Journal.open(tmp_path, 16 * MIB)
    journal.commit([Draft(record("twice")), Draft(record("twice"))])
    journal.close()
    journal, recovery = Journal.open(tmp_path, 16 * MIB)
    assert [entry.key for entry in recovery.entries] == ["twice"]
    journal.close()


def test_done_survives_a_restart(tmp_path: Path) -> None:
    """A key that was done before a restart does not come back; the marks do, although its file is gone."""
    journal, _ = Journal.open(tmp_path, 16 * MIB, 64 * 1024)
    for number in range(8):
        journal.commit([Draft(record(f"k{number}", 30_000, number, "cam"))])
    journal.commit([], [f"k{number}" for number in range(7)])
    journal.close()
    journal, recovery = Journal.open(tmp_path, 16 * MIB, 64 * 1024)
    assert [entry.key for entry in recovery.entries] == ["k7"]
    journal.commit([], ["k7"])
    journal.close()
    journal, recovery = Journal.open(tmp_path, 16 * MIB, 64 * 1024)
    assert recovery.entries == []
    assert recovery.marks == {"cam": 7}
    journal.close()


def test_at_its_bound_the_spool_refuses_bodies_keeps_the_reserve_and_recovers(tmp_path: Path) -> None:
    """Bodies beyond the bound are refused and abandoned, small records still fit; done records make room again."""
    journal, _ = Journal.open(tmp_path, MIB, 64 * 1024)
    accepted = []
    for number in range(60):
        draft = Draft(record(f"k{number}", 30_000))
        (result,) = journal.commit([draft])
        if isinstance(result, Exception):
            assert isinstance(result, SpoolFullError)
            assert "spool" in str(result)
            assert draft.abandoned == 1
        else:
            accepted.append(f"k{number}")
    assert 15 < len(accepted) < 40
    assert journal.used_bytes <= MIB
    small = Draft(Record(FIRST_FREE_KIND, "gap", b"a small fact"))
    assert not isinstance(journal.commit([small])[0], Exception)
    journal.commit([], accepted)
    assert not isinstance(journal.commit([Draft(record("again", 30_000))])[0], Exception)
    journal.close()


def test_a_disk_without_space_leaves_the_journal_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk takes half a record and then says ENOSPC, the half is cut off and the journal goes on later."""
    journal, _ = Journal.open(tmp_path, 16 * MIB)
    journal.commit([Draft(record("before"))])
    real = os.writev

    def half(fd: int, buffers: Any) -> int:
        os.write(fd, bytes(buffers[0])[:40])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal_module.os, "writev", half)
    (result,) = journal.commit([Draft(record("lost"))])
    assert isinstance(result, SpoolFullError)
    monkeypatch.setattr(journal_module.os, "writev", real)
    journal.commit([Draft(record("after"))])
    journal.close()
    journal, recovery = Journal.open(tmp_path, 16 * MIB)
    assert [entry.key for entry in recovery.entries] == ["before", "after"]
    assert recovery.torn_bytes == 0
    journal.close()


def test_nothing_counts_as_kept_when_the_disk_refuses_to_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fdatasync every draft of the group is abandoned and told, and a new file is begun."""
    journal, _ = Journal.open(tmp_path, 16 * MIB)
    real = os.fdatasync
    calls = []

    def broken(fd: int) -> None:
        calls.append(fd)
        if len(calls) == 1:
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(journal_module.os, "fdatasync", broken)
    drafts = [Draft(record("a")), Draft(record("b"))]
    assert all(isinstance(one, OSError) for one in journal.commit(drafts))
    assert [draft.abandoned for draft in drafts] == [1, 1]
    assert not isinstance(journal.commit([Draft(record("c"))])[0], Exception)
    journal.close()


def test_a_spool_belongs_to_one_journal(tmp_path: Path) -> None:
    """A second opener is refused with the holder's process id, until the first has closed."""
    journal, _ = Journal.open(tmp_path, MIB)
    with pytest.raises(SpoolBusyError, match=str(os.getpid())):
        Journal.open(tmp_path, MIB)
    journal.close()
    again, _ = Journal.open(tmp_path, MIB)
    again.close()


async def test_group_commit_flushes_together_and_refuses_what_cannot_wait(tmp_path: Path) -> None:
    """Drafts submitted together cost one flush; beyond the bound of what may wait they are refused at once."""
    journal, _ = Journal.open(tmp_path, 64 * MIB)
    commit = GroupCommit(journal, 0.01)
    drafts = [commit.submit(Draft(record(f"k{number}")), 100) for number in range(50)]
    refused = commit.submit(Draft(record("too much")), 300 * MIB)
    await commit.close()
    await commit.run()
    commit.shutdown()
    assert all(len(one.result()) == 1 for one in drafts)
    assert commit.commits == 1
    assert isinstance(refused.exception(), SpoolBusyError)
    journal.close()


class JournalMachine(RuleBasedStateMachine):
    """Writes, forgets and reopens at random; what is neither forgotten nor refused is always there."""

    directories: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.directory = JournalMachine.directories.mktemp("journal")
        self.journal, _ = Journal.open(self.directory, MIB, 64 * 1024)
        self.live: dict[str, int] = {}
        self.number = 0
        self.mark = 0

    @rule(size=st.integers(0, 40_000), parts=st.integers(1, 3))
    def write(self, size: int, parts: int) -> None:
        """Write a draft of some records under one key."""
        key = f"k{self.number}"
        self.number += 1
        records = [record(key, size, self.number, "cam", part) for part in range(parts)]
        (result,) = self.journal.commit([Draft(*records)])
        if not isinstance(result, Exception):
            self.live[key] = parts
            self.mark = self.number

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """Say that a key is done."""
        key = data.draw(st.sampled_from(sorted(self.live)))
        self.journal.commit([], [key, "unknown"])
        del self.live[key]

    @rule()
    def reopen(self) -> None:
        """Close and open again, as after a crash."""
        self.journal.close()
        self.journal, recovery = Journal.open(self.directory, MIB, 64 * 1024)
        found: dict[str, int] = {}
        for entry in recovery.entries:
            found[entry.key] = found.get(entry.key, 0) + 1
            assert self.journal.read(entry.location) == record(entry.key, entry.location.length).body
        assert found == self.live
        assert recovery.marks.get("cam", 0) == self.mark

    @invariant()
    def bounded(self) -> None:
        """The files are as large as the journal says, and within the bound."""
        total = sum(path.stat().st_size for path in self.directory.glob("*.journal"))
        assert total == self.journal.used_bytes <= MIB

    def teardown(self) -> None:
        """Close."""
        self.journal.close()


def test_writing_forgetting_and_reopening_in_any_order(tmp_path_factory: Any) -> None:
    """No order of writes, confirmations and restarts loses or revives a record."""
    JournalMachine.directories = tmp_path_factory
    run_state_machine_as_test(JournalMachine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
