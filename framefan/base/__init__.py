"""What every process stands on: clocks, errors, the log, the operating system."""
