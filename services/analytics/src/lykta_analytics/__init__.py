"""Notices incidents in live parts; advisory until a person reviews them."""
