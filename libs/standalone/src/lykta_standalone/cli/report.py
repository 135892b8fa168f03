"""Prints what the offline verifier found."""

import json
import sys

import typer
from lykta_verify.report import Report

from lykta_standalone.cli.failure import REFUSED
from lykta_standalone.cli.session import Session


def show_report(session: Session, report: Report) -> None:
    """Print the report; leaves with exit code 1 when something does not hold."""
    if session.json:
        sys.stdout.write(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(report.text())
    if not report.holds:
        raise typer.Exit(REFUSED)
