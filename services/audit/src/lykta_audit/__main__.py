"""Runs the audit service: `python -m lykta_audit`."""

from lykta_common.runtime import run

from lykta_audit.app import SERVICE

if __name__ == "__main__":
    run(SERVICE)
