"""Decoding in a child process that has no network, no files, no secrets and no second chance.

This package imports nothing here on purpose: the child loads it and must stay small.
"""
