"""Runs the drill: `python -m lykta_standalone.drill`, the same as `lykta drill`."""

import sys

from lykta_standalone.cli import application

if __name__ == "__main__":
    application(["drill", *sys.argv[1:]])
