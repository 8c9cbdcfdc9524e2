"""Tracking: gives the same id to the same object in successive results of one camera."""
