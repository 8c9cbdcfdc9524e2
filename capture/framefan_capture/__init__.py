"""Capture: one process per camera, from its source into shared memory."""
