"""`python -m framefan` is the command `framefan`."""

from framefan.cli import main

if __name__ == "__main__":
    main()
