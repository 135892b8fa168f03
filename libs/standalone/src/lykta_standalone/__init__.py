"""The `lykta` command: the whole platform on one machine, and the operator commands."""
