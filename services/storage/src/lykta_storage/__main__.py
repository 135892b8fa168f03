"""Runs storage: `python -m lykta_storage`; with `rebuild` or `delete-again`, an administrator's command instead."""

import sys

from lykta_common.runtime import run

from lykta_storage.app import SERVICE
from lykta_storage.command import run_delete_again, run_rebuild

COMMANDS = {"rebuild": run_rebuild, "delete-again": run_delete_again}

if len(sys.argv) == 2 and sys.argv[1] in COMMANDS:
    COMMANDS[sys.argv[1]]()
else:
    run(SERVICE)
