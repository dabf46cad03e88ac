"""One start of gridcwl with threads that change as often as Python can; prints what two of them import at a time.

    python import_start.py all                     every client library at once, each in a thread of its own
    python import_start.py gridcwl WORDS ...       the command line

Exits with 3 where imports overlapped or failed, whatever the command's own exit code is.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from import_overlaps import watch


def every_library() -> None:
    """DIRAC's client is loaded in the background, Rucio's in its thread, the others by threads that begin together."""
    from gridcwl import imports
    from gridcwl.backends.dirac.client import DiracClient
    from gridcwl.errors import GridCWLError
    from gridcwl.stores.rucio.client import RucioClient

    rucio, together = RucioClient(), threading.Barrier(5)

    def begin(work):
        together.wait()
        try:
            work()
        except GridCWLError as error:  # nothing is configured here
            if "ImportError" in str(error):
                raise

    def loaders():
        from gridcwl.cwl.patches.loader import loader

        loader({}).session.headers  # noqa: B018  what makes the session

    works = [
        loaders,
        lambda: DiracClient().most_jobs(),
        lambda: rucio.call_now("whoami"),
        lambda: [imports.load(name) for name in ("docker", "rucio.rse", "rich")],
        lambda: [imports.load(name) for name in ("httpx", "cryptography", "requests")],
    ]
    with ThreadPoolExecutor(5) as pool:
        for ended in [pool.submit(begin, work) for work in works]:
            ended.result()
    rucio.close()


def main() -> int:
    sys.setswitchinterval(1e-6)
    seen = watch()
    code = 0
    if sys.argv[1] == "all":
        every_library()
    else:
        from gridcwl.cli.main import main as gridcwl

        code = gridcwl(sys.argv[2:])
    for overlap in seen():
        print("imported by two threads at a time:", overlap, file=sys.stderr)
    return 3 if seen() else code


if __name__ == "__main__":
    sys.exit(main())
