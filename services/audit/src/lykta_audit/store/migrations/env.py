"""Alembic's entry: runs the migrations of the audit database."""

from lykta_common.database import run_migrations

run_migrations()
