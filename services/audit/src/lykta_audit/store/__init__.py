"""Adapters of the log: its database and its bucket."""

from pathlib import Path

from lykta_audit.store.bucket import LockCheck, LogBucket
from lykta_audit.store.log_rows import Lease, LogRows, LogState, LogTransaction
from lykta_audit.store.policy import AccessControlPolicy

MIGRATIONS = Path(__file__).parent / "migrations"

__all__ = [
    "MIGRATIONS",
    "AccessControlPolicy",
    "Lease",
    "LockCheck",
    "LogBucket",
    "LogRows",
    "LogState",
    "LogTransaction",
]
