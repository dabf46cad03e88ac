"""The image holds the same testbed: started as a container, used from here."""

from __future__ import annotations

import json
import ssl
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

IMAGE = "gridcwl/testbed:0.1.0"


def _there() -> bool:
    try:
        return not subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode
    except FileNotFoundError:
        return False


@pytest.mark.docker
@pytest.mark.rucio
@pytest.mark.skipif(not _there(), reason=f"needs the image {IMAGE}: make images-testbed")
def test_a_container_is_a_testbed_for_its_host(monkeypatch):
    # removes by itself what it starts; its helper container would have to come from a registry
    monkeypatch.setattr("testcontainers.core.config.testcontainers_config.ryuk_disabled", True)
    with tempfile.TemporaryDirectory(prefix="gridcwl-testbed-image-", ignore_cleanup_errors=True) as folder:
        box = Path(folder) / "box"
        Path(folder).chmod(0o711)  # the servers' own users go through it
        command = f"up --dir {box} --with oidc,rucio,dirac --db sqlite"
        container = DockerContainer(IMAGE, network_mode="host").with_command(command)
        container.waiting_for(LogMessageWaitStrategy("The testbed is up").with_startup_timeout(280))
        with container.with_volume_mapping(folder, folder, "rw"):
            port = json.loads((box / "ports.json").read_text())["rucio"]
            context = ssl.create_default_context(cafile=box / "certificates" / "testbed-ca.pem")
            with urllib.request.urlopen(f"https://localhost:{port}/ping", context=context) as answer:
                assert json.load(answer)["version"] == "41.5.1"
            code, text = container.exec(["python3", "-m", "gridcwl", "testbed", "selftest", "--dir", str(box)])
            assert code == 0, text.decode()
            # what it made belongs to the container's root
            container.exec(["python3", "-m", "gridcwl", "testbed", "down", "--wipe", "--dir", str(box)])
        assert not box.exists()
