"""No two threads import the same package for the first time: starts with threads that change as often as they can.

``GRIDCWL_STARTS=200`` makes that many starts (``make test-imports``), each without compiled modules and with both cores
kept busy by something else. As a part of all tests there are a few starts only.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "runner" / "gridcwl"
START = ROOT / "tests" / "helpers" / "import_start.py"
STARTS = int(os.environ.get("GRIDCWL_STARTS", "0"))
WAYS = {
    "every client": ["all"],
    "a plan": ["gridcwl", "plan", "--backend", "dirac", "--store", "rucio", "tool.cwl", "--text", "a.txt"],
    "a run": ["gridcwl", "--backend", "dirac", "--store", "rucio", "tool.cwl", "--text", "a.txt"],
}
TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: cat
inputs: {text: {type: File, inputBinding: {}}}
outputs: {copy: stdout}
"""
IMPORTED_AFTER_LOADING = {
    *(f"backends/local/docker_{name}.py" for name in ("engine", "watch", "reuse", "stream")),
    "backends/local/images.py",
    "service/public_session.py",
}
"""Modules that are themselves imported after ``imports.load``."""


@contextmanager
def busy_cores() -> Iterator[None]:
    """Every core works on something else."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def start(way: str, folder: Path, *, cold: bool) -> None:
    """One start in a process of its own, with nothing configured."""
    hidden = ("DIRAC", "RUCIO", "X509", "GRIDCWL")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    environment |= {"HOME": str(folder), "RUCIO_HOME": str(folder), "GRIDCWL_STATE_DIR": str(folder / "state")}
    if cold:
        environment["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
    (folder / "tool.cwl").write_text(TOOL)
    (folder / "a.txt").write_text("a\n")
    ended = subprocess.run(
        [sys.executable, START, *WAYS[way]], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode != 3, ended.stderr
    assert not re.search("ImportError|partially initialized", ended.stderr), ended.stderr


@pytest.mark.skipif(STARTS > 0, reason="GRIDCWL_STARTS asks for many starts")
@pytest.mark.parametrize("way", WAYS)
def test_no_two_threads_import_the_same_package_at_a_time(way, tmp_path):
    pytest.importorskip("DIRAC")
    pytest.importorskip("rucio")
    start(way, tmp_path, cold=False)


@pytest.mark.skipif(STARTS == 0, reason="set GRIDCWL_STARTS=200")
@pytest.mark.timeout(30 * max(STARTS, 1))
def test_no_start_of_many_imports_a_package_in_two_threads(tmp_path):
    ways = list(WAYS)
    with busy_cores():
        for number in range(STARTS):
            folder = tmp_path / str(number)
            folder.mkdir()
            start(ways[number % len(ways)], folder, cold=True)


def test_client_libraries_are_imported_through_the_one_point_for_it():
    """Each ``import`` of a client library is behind ``imports.load`` or ``imports.one_at_a_time`` in its function."""
    libraries = ("DIRAC", "docker", "httpx", "requests", "rich", "rucio", "cachecontrol", "rdflib")
    astray = []
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        # the testbed is one thread's; the local mode's launcher is a process of its own
        if (
            name.startswith(("testbed/", "worker/"))
            or name.endswith("local_jobs.py")
            or name in IMPORTED_AFTER_LOADING
            or name == "cwl/anonymous.py"
        ):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        astray += [
            f"{name}:{line}: {module}"
            for line, module, safe in _imports(tree, safe=False)
            if module.partition(".")[0] in libraries and not safe
        ]
    assert not astray


def _imports(node: ast.AST, *, safe: bool) -> Iterator[tuple[int, str, bool]]:
    """The imports below a node, and whether something before them in their function loads client libraries."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name, safe) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield child.lineno, child.module or "", safe
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        elif isinstance(child, ast.With) and "imports.one_at_a_time()" in ast.unparse(child.items[0]):
            yield from _imports(child, safe=True)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _imports(child, safe=False)
        else:
            yield from _imports(child, safe=safe)
        if isinstance(child, ast.Expr) and ast.unparse(child).startswith("imports.load("):
            safe = True
