"""Decides who and what may record, watch and approve."""
