"""A worker: one process that predicts on frames in shared memory, without copies."""
