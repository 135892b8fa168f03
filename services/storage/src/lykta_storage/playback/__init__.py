"""Playback: who is let in, what is shown in which order, and when it ends."""
