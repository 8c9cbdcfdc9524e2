"""Inference: the pool that owns leases, outcomes and order, and its workers."""
