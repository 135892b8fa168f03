"""The command `python -m lykta_verify`: exit 0 when everything holds, 1 when something does not, 2 on wrong usage."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from lykta_verify.clip_check import verify_clip
from lykta_verify.keys import read_public_key
from lykta_verify.log import verify_log
from lykta_verify.note import NoteError
from lykta_verify.report import Report

HOLDS, DOES_NOT_HOLD, WRONG_USAGE = 0, 1, 2


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    root = argparse.ArgumentParser(prog="lykta_verify", description="Verifies Lykta's log and clips, offline.")
    commands = root.add_subparsers(dest="command", required=True)
    log = commands.add_parser("log", help="a downloaded log: checkpoint, tile/…, tile/entries/…")
    log.add_argument("directory", type=Path)
    log.add_argument("--since", type=Path, metavar="OLDCHECKPOINT", help="a checkpoint kept from earlier")
    clip = commands.add_parser("clip", help="a clip package: manifest.json and the files it names")
    clip.add_argument("directory", type=Path)
    clip.add_argument(
        "--recorder-key",
        action="append",
        required=True,
        help="PEM file, base64 or hex of the recorder's key; repeatable",
    )
    for command in (log, clip):
        command.add_argument("--vkey", required=True, help="verifier key of the log: name+id+key")
        command.add_argument("--json", action="store_true", help="print the report as JSON")
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verification and print its report; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        report = _verify(options)
    except (NoteError, OSError) as error:
        sys.stderr.write(f"lykta_verify: {error}\n")
        return WRONG_USAGE
    sys.stdout.write(json.dumps(report.as_dict(), indent=2) + "\n" if options.json else report.text())
    return HOLDS if report.holds else DOES_NOT_HOLD


def _verify(options: argparse.Namespace) -> Report:
    """Call the verifier that was asked for."""
    if not options.directory.is_dir():
        raise NotADirectoryError(f"{options.directory} is not a directory")
    if options.command == "log":
        return verify_log(options.directory, options.vkey, options.since.read_bytes() if options.since else None)
    return verify_clip(options.directory, options.vkey, [read_public_key(key) for key in options.recorder_key])
