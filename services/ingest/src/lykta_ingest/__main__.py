"""Runs the recorder as a process."""

from lykta_common.runtime import run

from lykta_ingest.app import SERVICE

if __name__ == "__main__":
    run(SERVICE)
