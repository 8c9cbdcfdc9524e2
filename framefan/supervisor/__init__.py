"""The supervisor: starts the processes, watches them, restarts them, stops them."""
