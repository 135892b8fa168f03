"""Mechanism shared by every service, without a noun of the domain."""
