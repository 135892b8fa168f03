"""Adapters: rows in the database, old versions in the object store, and the services that storage asks."""
