"""Basics that every process uses: clocks, the log, the operating system."""
