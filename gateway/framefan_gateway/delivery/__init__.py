"""What each client is due, and when it is written: cores without input or output."""
