"""Docker's own client, for the contracts of the engines."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException


@pytest.fixture(scope="module")
def api() -> Iterator[docker.APIClient]:
    try:
        client = docker.APIClient(version="auto")
    except DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    yield client
    client.close()
