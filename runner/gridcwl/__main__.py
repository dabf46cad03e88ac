"""``python -m gridcwl``."""

from gridcwl.cli.entry import entry

if __name__ == "__main__":
    entry()
