"""Real servers for the tests of the shared mechanism."""

pytest_plugins = ["lykta_testing.fixtures"]
