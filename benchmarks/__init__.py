"""Measurements of framefan on the machine at hand, each against its bar: `python -m benchmarks`."""
