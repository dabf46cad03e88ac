"""What ``import gridcwl`` gives, and what it costs."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import gridcwl


def test_all_names_are_there_and_the_stub_has_the_same():
    stub = (resources.files("gridcwl") / "__init__.pyi").read_text()
    declared = {line.rpartition(" as ")[2] for line in stub.splitlines() if " as " in line}
    assert declared == set(gridcwl.__all__) - {"__version__"}
    for name in gridcwl.__all__:
        assert getattr(gridcwl, name) is not None
    assert (resources.files("gridcwl") / "py.typed").is_file()


def test_nothing_below_the_command_line_changes_the_process_or_handles_its_signals():
    """Many runs share a process: blocking.py starts an event loop in a thread of its own. So does an export, which is
    called in threads, for the store's part of it."""
    package = Path(gridcwl.__file__).parent
    files = [package / "api.py", package / "blocking.py", package / "values.py"]
    for folder in ("runs", "cwl", "engine", "backends/local", "backends/batch"):
        files += sorted((package / folder).rglob("*.py"))
    words = re.compile(r"os\.chdir|sys\.stdin = |signal\.signal\(|add_signal_handler|asyncio\.run\(")
    found = {(file.name, word) for file in files for word in words.findall(file.read_text())}
    assert found == {("blocking.py", "asyncio.run("), ("stored.py", "asyncio.run(")}


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="runn"):
        gridcwl.runn  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_loads_nothing_else():
    script = "import sys; before = set(sys.modules); import gridcwl; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) - {"importlib", "importlib._bootstrap", "importlib._bootstrap_external"}
    assert {name for name in loaded if name.partition(".")[0] != "warnings"} == {"gridcwl"}


def test_a_program_that_makes_a_client_has_not_loaded_cwltool_yet():
    script = "import sys, gridcwl; gridcwl.Client, gridcwl.File, gridcwl.RunFailed; print('cwltool' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
