"""What a light install says of what it lacks: ``pip install gridcwl`` without extras."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gridcwl import imports

WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from gridcwl.cli.main import main
sys.exit(main(sys.argv[2:]))
"""
"""gridcwl, as if these packages were not installed."""
TOOL = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: []\noutputs: []\n"


@pytest.fixture
def light(tmp_path):
    def run(packages: str, *words: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "tool.cwl").write_text(TOOL)
        hidden = ("DIRAC", "RUCIO", "X509", "GRIDCWL")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        environment |= {"HOME": str(tmp_path), "RUCIO_HOME": str(tmp_path), "GRIDCWL_STATE_DIR": str(tmp_path / "s")}
        command = [sys.executable, "-c", WITHOUT, packages, *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize(
    ("packages", "words", "extra"),
    [
        ("DIRAC", ["--backend", "dirac", "tool.cwl"], "dirac"),
        ("DIRAC", ["plan", "--backend", "dirac", "tool.cwl"], "dirac"),
        ("DIRAC", ["sites"], "dirac"),
        ("distributed", ["--backend", "dask", "tool.cwl"], "dask"),
        ("httpx", ["--backend", "diracx", "tool.cwl"], "diracx"),
        ("httpx", ["sites", "--backend", "diracx"], "diracx"),
        ("rucio", ["--store", "rucio", "tool.cwl"], "rucio"),
        ("cryptography,psutil", ["testbed", "up"], "testbed"),
        ("cryptography,psutil", ["testbed", "status"], "testbed"),
        ("psutil", ["testbed", "up"], "testbed"),
    ],
)
def test_a_command_without_its_extra_reports_which_one_to_install(light, packages, words, extra):
    result = light(packages, *words)
    assert result.returncode == 1
    assert f"which is not installed\npip install 'gridcwl[{extra}]'" in result.stderr
    assert "internal error" not in result.stderr
    assert "resume" not in result.stderr, "nothing ran, so there is nothing to resume"


def test_a_package_missing_deep_inside_is_named_with_its_extra():
    """Wherever a package of an extra turns out to be missing, as for demo's corsikaio."""
    assert imports.extra_of("corsikaio") == "demo"
    assert imports.extra_of("rucio.client") == "rucio"
    assert imports.extra_of("psutil") == "testbed"
    assert "pip install 'gridcwl[demo]'" in str(imports.missing("corsikaio"))
    assert imports.extra_of("numpy") == ""


def test_a_store_that_is_not_configured_does_not_promise_that_results_are_kept(light):
    result = light("nothing", "--store", "rucio", "--no-container", "tool.cwl")
    assert result.returncode == 1
    assert "Then run: gridcwl resume" in result.stderr
    assert "finished jobs" not in result.stderr


def test_sites_without_a_configuration_of_dirac_is_an_error(light):
    pytest.importorskip("DIRAC")
    result = light("nothing", "sites")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "DIRAC is not configured" in result.stderr
    assert "dirac-configure" in result.stderr
