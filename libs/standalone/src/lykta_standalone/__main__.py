"""The entry point of the `lykta` command."""

from lykta_standalone.cli import application


def main() -> None:
    """Run the command line; the exit code is 0 done, 1 refused or failed, 2 wrong usage, 3 unavailable."""
    application()


if __name__ == "__main__":
    main()
