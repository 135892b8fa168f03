"""Backup and restore of a platform on one machine: what is kept, in which order, and what must not come back."""
