"""Servicers: who calls, what is asked, which use case answers; no decisions of their own."""
