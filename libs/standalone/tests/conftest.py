"""Fixtures of the tests of standalone."""

pytest_plugins = ["lykta_testing.fixtures"]
