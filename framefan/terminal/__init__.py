"""What is shown in a terminal: `framefan watch` (viewer.py) and `framefan top` (top.py)."""
