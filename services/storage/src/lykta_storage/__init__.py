"""Keeps the footage catalogue and media keys, serves playback and deletes on time."""
