"""The service's benchmark, with few of everything; and what it has found."""

from __future__ import annotations

import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from gridcwl.service.serving import bound_to
from gridcwl.service.settings import load

BENCH = Path(__file__).parents[2] / "benchmarks" / "service" / "bench.py"


def test_the_benchmark_runs_runs_and_sees_no_failure():
    words = ["--parts", "runs", "--runs", "3", "--steps", "3"]
    run = subprocess.run([sys.executable, BENCH, *words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    head, numbers = next((one, two) for one, two in pairwise(run.stdout.splitlines()) if "runs/s" in one)
    assert "failed" in head
    assert numbers.split()[4] == "0"


def test_answers_are_sent_without_waiting_for_more(tmp_path: Path):
    """asyncio turns Nagle's algorithm off only for sockets that name their protocol."""
    with bound_to(load(None, {"folder": tmp_path, "port": 0})) as listening:
        assert listening.proto == socket.IPPROTO_TCP
