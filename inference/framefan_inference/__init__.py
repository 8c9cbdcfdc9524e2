"""Inference: the pool, which leases frames and orders outcomes, and its workers."""
