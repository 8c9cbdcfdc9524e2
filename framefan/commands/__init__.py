"""The commands of the `framefan` program."""
