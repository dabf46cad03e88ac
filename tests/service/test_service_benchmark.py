"""The service's benchmark, with few of everything; and what it has found."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from gridcwl.service.serving import bound_to
from gridcwl.service.settings import load

BENCH = Path(__file__).parents[2] / "benchmarks" / "service" / "bench.py"


def test_the_benchmark_runs_runs_and_lists_and_sees_no_failure():
    words = ["--parts", "runs", "list", "--runs", "3", "--steps", "3", "--listed", "300"]
    run = subprocess.run([sys.executable, BENCH, *words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    heads = next(number for number, line in enumerate(lines) if "runs/s" in line)
    assert (
        dict(zip(("submitted", "wall", "runs/s", "jobs/s", "failed"), lines[heads + 1].split(), strict=False))["failed"]
        == "0"
    )
    assert any(line.startswith("a page of 100 from the middle") for line in lines)


def test_answers_are_sent_without_waiting_for_more(tmp_path: Path):
    """asyncio turns Nagle's algorithm off only for sockets that name their protocol."""
    with bound_to(load(None, {"folder": tmp_path, "port": 0})) as listening:
        assert listening.proto == socket.IPPROTO_TCP
