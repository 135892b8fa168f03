"""Alembic's entry: the mechanism is shared by every service."""

from lykta_common.database import run_migrations

run_migrations()
