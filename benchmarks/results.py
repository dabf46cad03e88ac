"""The numbers that a benchmark prints, as JSON too: ``make bench`` has them in ``build/bench/NAME.json``.

``benchmarks/compare.py OLD.json NEW.json`` compares two such files.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

FILE = "GRIDCWL_BENCH_JSON"
"""The environment variable that names the file; without it nothing is written."""

_rows: dict[str, dict[str, Any]] = {}


def note(row: str, **numbers: float | str) -> None:
    """Keep a row of the table. The file is written at once: a benchmark that is stopped has what it has measured."""
    if FILE not in os.environ:
        return
    _rows[row] = {**_rows.get(row, {}), **numbers}
    path = Path(os.environ[FILE])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**_ABOUT, "rows": _rows}, indent=2) + "\n")


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


_ABOUT = {
    "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    "commit": _commit() if FILE in os.environ else "",
    "python": platform.python_version(),
    "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    "load": os.getloadavg()[0],
}
