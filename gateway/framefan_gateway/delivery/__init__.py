"""Which messages each client gets, and when they are written. No I/O."""
