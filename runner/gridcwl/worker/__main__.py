"""``python -m gridcwl.worker job.json``, and what the zipapp starts with."""

import sys

from gridcwl.worker.command import main
from gridcwl.worker.orphans import ORPHANS

if __name__ == "__main__":
    ORPHANS.own_process = True
    sys.exit(main())
