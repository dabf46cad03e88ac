"""podman by its command line keeps the contract."""

import shutil
import subprocess

import pytest
from engine_place import IMAGE
from engine_suite import EngineContract

from gridcwl.worker.cli_engines import CommandLineEngine

pytestmark = pytest.mark.podman


@pytest.fixture(scope="module")
def engine():
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    if subprocess.run(["podman", "image", "exists", IMAGE], check=False).returncode:
        pytest.skip(f"podman has no {IMAGE}")
    return CommandLineEngine("podman")


class TestPodman(EngineContract):
    def forget_image(self, name):
        subprocess.run(["podman", "rmi", "--force", name], capture_output=True, check=False)

    def is_gone(self, name):
        return bool(subprocess.run(["podman", "container", "exists", name], check=False).returncode)
