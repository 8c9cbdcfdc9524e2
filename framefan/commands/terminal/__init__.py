"""What is shown in a terminal: `framefan watch` (watch.py) and `framefan top` (top.py)."""
