"""A worker: one process that predicts on frames where they lie."""
