"""A run's settings: records, sources, secrets, and the names of camera states."""
