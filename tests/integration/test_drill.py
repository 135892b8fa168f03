"""The restore drill of `lykta drill`, as anyone would run it every quarter."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.harness import LYKTA

STEPS = 12


@pytest.mark.timeout(300)
def test_what_was_backed_up_comes_back_and_what_was_deleted_does_not(tmp_path: Path) -> None:
    """Everything is lost and restored: every step holds, says what it proved, and leaves nothing behind."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [str(LYKTA), "drill"], capture_output=True, text=True, timeout=280, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✔") == STEPS + 1
    assert "✘" not in done.stdout
    assert list(tmp_path.iterdir()) == []
