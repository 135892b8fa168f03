"""Alembic's entry point; the running is shared by all services."""

from lykta_common.database import run_migrations

run_migrations()
