"""Offline verifier of the transparency log and of clips; standard library and cryptography only."""
