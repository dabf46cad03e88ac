"""What the contracts of both Docker engines look at with Docker's own client."""

from __future__ import annotations

import contextlib

import docker
import pytest
from docker.errors import ImageNotFound, NotFound


class SeenByDocker:
    """For ``EngineContract``."""

    @pytest.fixture(autouse=True)
    def _through(self, api: docker.APIClient) -> None:
        self.api = api

    def forget_image(self, name: str) -> None:
        with contextlib.suppress(ImageNotFound):
            self.api.remove_image(name, force=True)

    def is_gone(self, name: str) -> bool:
        with contextlib.suppress(NotFound):
            self.api.wait(name, condition="removed", timeout=60)
        return not self.api.containers(all=True, filters={"name": name})
