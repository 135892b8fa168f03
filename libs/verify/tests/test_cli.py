"""The command says by its exit code whether everything holds, and prints a report for people or programs."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lykta_verify.cli import main


def test_log_command(builders: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`log` exits 0 for an untouched log, also with an earlier checkpoint, and 1 with the place for a changed one."""
    log = builders.write_log(tmp_path / "log", [b"a", b"b", b"c"])
    old = tmp_path / "old"
    old.write_bytes(builders.checkpoint([b"a", b"b"]))
    arguments = ["log", str(log), "--vkey", builders.vkey(), "--since", str(old)]
    assert main(arguments) == 0
    assert "everything holds" in capsys.readouterr().out
    (log / "tile/0/000.p/3").write_bytes(bytes(96))
    assert main([*arguments, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["holds"] is False
    assert report["findings"][0]["where"].startswith("tile/0/000.p/3")


def test_clip_command_takes_the_recorder_s_key_in_every_form(
    builders: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`clip` exits 0 with the recorder's key as PEM file, base64 or hex."""
    directory = builders.build_clip().write(tmp_path / "clip")
    public = builders.recorder_key.public_key()
    pem = tmp_path / "recorder.pem"
    pem.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    raw = public.public_bytes_raw()
    for key in (str(pem), base64.b64encode(raw).decode(), raw.hex()):
        assert main(["clip", str(directory), "--vkey", builders.vkey(), "--recorder-key", key]) == 0
    (directory / "clip.mp4").write_bytes(b"")
    assert main(["clip", str(directory), "--vkey", builders.vkey(), "--recorder-key", raw.hex()]) == 1
    assert "DOES NOT HOLD" in capsys.readouterr().out


def test_wrong_usage_exits_2(builders: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A malformed key, another kind of key or a directory that is not there is wrong usage, not a broken log."""
    log = builders.write_log(tmp_path / "log", [b"a"])
    other = tmp_path / "x25519.pem"
    key = X25519PrivateKey.generate().public_key()
    other.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    broken = tmp_path / "broken.pem"
    broken.write_bytes(b"nothing")
    assert main(["log", str(log), "--vkey", "nonsense"]) == 2
    assert main(["log", str(tmp_path / "nowhere"), "--vkey", builders.vkey()]) == 2
    for bad in ("zz" * 32, "short", str(other), str(broken)):
        assert main(["clip", str(log), "--vkey", builders.vkey(), "--recorder-key", bad]) == 2
    assert "lykta_verify:" in capsys.readouterr().err


def test_module_runs(builders: Any, tmp_path: Path) -> None:
    """`python -m lykta_verify` is the command."""
    log = builders.write_log(tmp_path / "log", [b"a"])
    command = [sys.executable, "-m", "lykta_verify", "log", str(log), "--vkey", builders.vkey()]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_only_the_standard_library_and_cryptography_are_imported() -> None:
    """The verifier runs on a machine that has Python and cryptography and nothing of ours."""
    code = (
        "import sys, lykta_verify.cli;"
        "own = {n.split('.')[0] for n in sys.modules} - set(sys.stdlib_module_names);"
        "print(sorted(n for n in own if n.startswith('lykta') or n in ('pydantic', 'grpc', 'google')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "['lykta_verify']"
