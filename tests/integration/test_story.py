"""The story of `lykta demo`, as anyone would run it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.integration.harness import LYKTA

STEPS = 16


def test_the_whole_story_holds(tmp_path: Path) -> None:
    """Unattended, every step holds and says what it proved; the exit code is 0 and nothing stays behind."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [str(LYKTA), "demo"], capture_output=True, text=True, timeout=220, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✔") == STEPS + 1
    assert "✘" not in done.stdout
    assert list(tmp_path.iterdir()) == []
