"""Runs the verifier: `python -m lykta_verify log|clip …`."""

from lykta_verify.cli import main

raise SystemExit(main())
