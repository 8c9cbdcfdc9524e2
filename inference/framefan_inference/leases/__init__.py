"""Leases: who predicts on which frame, and what became of it. Pure: no clock, no socket."""
