"""`python -m framefan` is the command `framefan`."""

import sys
from pathlib import Path

# Python puts the folder that a person is in before everything else, and a `types.py` there before
# Python's own. The command `framefan` has no such entry.
if not sys.flags.safe_path and Path(sys.path[0]) == Path.cwd() != Path(__file__).parents[1]:
    del sys.path[0]

from framefan.commands.cli import main

if __name__ == "__main__":
    main()
