"""Rows, the view kept in memory, the outbox and the relay of signed orders; the only place that knows SQL."""
