"""Runs the recorder as a process."""

import gc
from asyncio import AbstractEventLoop
from dataclasses import replace

import uvloop
from lykta_common.runtime import run

from lykta_ingest.app import SERVICE

_GC_THRESHOLDS = (50_000, 20, 20)
"""The recorder makes many short-lived lists and no cycles: with Python's defaults the collector costs half its time."""


def new_loop() -> AbstractEventLoop:
    """Return the process's event loop; what was imported until now is kept out of garbage collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    return uvloop.new_event_loop()


if __name__ == "__main__":
    run(replace(SERVICE, loop_factory=new_loop))
