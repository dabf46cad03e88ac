"""The testbed's image: its long step runs with the few modules that were copied before it."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

TOP = Path(__file__).parents[3]
DOCKERFILE = (TOP / "containers" / "testbed" / "Dockerfile").read_text().replace("\\\n", " ")


def test_what_is_copied_before_the_installation_is_enough_for_it(tmp_path):
    before, _, _ = DOCKERFILE.partition("-m gridcwl.testbed.installing")
    for line in re.findall(r"^COPY (.+)$", before, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            place = tmp_path / target.removeprefix("/opt/gridcwl/src/")
            if (TOP / source).is_dir():
                shutil.copytree(TOP / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(TOP / source, place)
    assert (tmp_path / "gridcwl" / "testbed" / "installing.py").exists()

    program = "import sys; sys.path.insert(0, sys.argv[1]); import gridcwl.testbed.installing as it; print(it.__file__)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", program, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert Path(found.stdout.strip()).is_relative_to(tmp_path)


def test_it_installs_what_gridcwls_settings_need():
    installed = {Requirement(word).name for word in re.findall(r"'([a-z]+>=[0-9.]+)'", DOCKERFILE)}
    assert {Requirement(line).name for line in requires("gridcwl")} & {"msgspec", "platformdirs"} <= installed
