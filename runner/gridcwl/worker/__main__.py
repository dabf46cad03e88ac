"""``python -m gridcwl.worker job.json``, and what the zipapp starts with."""

import sys

from gridcwl.worker.command import main

if __name__ == "__main__":
    sys.exit(main())
