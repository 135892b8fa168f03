"""Runs access-control: `python -m lykta_access_control`."""

from lykta_common.runtime import run

from lykta_access_control.app import SERVICE

if __name__ == "__main__":
    run(SERVICE)
