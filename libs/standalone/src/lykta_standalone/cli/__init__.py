"""The commands of `lykta`: one module for each noun."""

from lykta_standalone.cli.root import application

__all__ = ["application"]
