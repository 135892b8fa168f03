"""What the tests of the test library itself need."""

pytest_plugins = ["lykta_testing.fixtures"]
