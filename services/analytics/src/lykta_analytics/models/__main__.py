"""Command line of the model registry: `python -m lykta_analytics.models fetch|list --cache DIR`."""

import argparse
import sys
from pathlib import Path

from lykta_analytics.models import KNOWN, ModelError, ModelRegistry, fetch


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; answers 0 when done, 1 with the reason on stderr when refused or failed."""
    parser = argparse.ArgumentParser(prog="python -m lykta_analytics.models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("fetch", "download, check and convert"), ("list", "print the cards of installed models")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--cache", type=Path, required=True, help="directory of the registry")
    commands.choices["fetch"].add_argument("--model", choices=sorted(KNOWN), action="append", help="default: all")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "list":
            cards = ModelRegistry(chosen.cache).cards()
        else:
            cards = [fetch(KNOWN[name], chosen.cache).card for name in chosen.model or sorted(KNOWN)]
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for card in cards:
        sys.stdout.write(card.model_dump_json(indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
