"""Generators, checks and runners of this repository; nothing here is shipped."""
