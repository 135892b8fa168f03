"""Runs storage: `python -m lykta_storage`; `python -m lykta_storage rebuild` rebuilds the catalogue from the bucket."""

import sys

from lykta_common.runtime import run

from lykta_storage.app import SERVICE
from lykta_storage.command import run_rebuild

if sys.argv[1:] == ["rebuild"]:
    run_rebuild()
else:
    run(SERVICE)
