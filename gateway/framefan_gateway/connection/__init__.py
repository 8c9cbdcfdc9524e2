"""One client's connection, from the door to its end."""
