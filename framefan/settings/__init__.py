"""What a run is told: its settings, sources, secrets, and the names of states."""
