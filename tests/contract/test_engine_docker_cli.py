"""docker by its command line keeps the contract, as a worker node uses it."""

import shutil
import subprocess

import pytest
from engine_suite import EngineContract

from gridcwl.worker.cli_engines import CommandLineEngine

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def engine():
    if shutil.which("docker") is None:
        pytest.skip("docker's command line is not installed")
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers")
    return CommandLineEngine("docker")


class TestDockerCommandLine(EngineContract):
    def forget_image(self, name):
        subprocess.run(["docker", "rmi", "--force", name], capture_output=True, check=False)

    def is_gone(self, name):
        # The command returns when the container has ended; what --rm stands for may take the engine a moment more.
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)
        listed = subprocess.run(
            ["docker", "ps", "--all", "--quiet", f"--filter=name={name}"], capture_output=True, check=True
        )
        return not listed.stdout
