"""Runs the audit service: `python -m lykta_audit`; with `rebuild`, makes its database anew from the bucket."""

import asyncio
import sys

from lykta_common.clock import SystemClock
from lykta_common.config import load_settings
from lykta_common.errors import PlatformError
from lykta_common.runtime import run

from lykta_audit.app import SERVICE, rebuild_database
from lykta_audit.config import Settings


def main() -> None:
    """Run what the command line asks for; a rebuild that is refused exits with one clear line."""
    if sys.argv[1:] == ["rebuild"]:
        try:
            count = asyncio.run(rebuild_database(load_settings(Settings), SystemClock()))
        except PlatformError as error:
            sys.exit(f"lykta audit: {error.message}")
        sys.stdout.write(f"{count} entries rebuilt from the published log\n")
    else:
        run(SERVICE)


if __name__ == "__main__":
    main()
