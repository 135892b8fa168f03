"""Alembic's entry point."""

from lykta_common.database import run_migrations

run_migrations()
