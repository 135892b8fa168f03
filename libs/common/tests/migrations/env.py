"""Alembic environment of the tests."""

from lykta_common.database import run_migrations

run_migrations()
