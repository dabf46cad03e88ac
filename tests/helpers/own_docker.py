"""A Docker engine of a test's own, which may be stopped and killed without harm to anybody else's.

It lives in namespaces of its own for network, mounts and processes, with its own folders and socket: the machine's
engine never hears of it, it touches no firewall, and all that it started ends with the namespaces.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
import requests
from docker.errors import DockerException

_PATIENCE_S = 60
_NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
_INIT = ["sh", "-c", "sleep infinity & wait"]
"""The first process of the namespaces; it reaps what others leave behind."""


class Unavailable(Exception):
    """No engine can be started here; the message says why."""


class OwnDocker:
    """The engine; use :func:`own_docker`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pidfile = folder / "docker.pid"
        self._log = folder / "dockerd.log"
        self._init = subprocess.Popen([*_NAMESPACES, *_INIT])
        self.host = f"unix://{folder}/docker.sock"
        """For ``DOCKER_HOST``."""

    def start(self) -> None:
        """Start the daemon, and wait until it answers."""
        self._pidfile.unlink(missing_ok=True)  # of one that was killed
        command = [
            "dockerd", f"--host={self.host}", f"--data-root={self._folder}/data", f"--exec-root={self._folder}/exec",
            f"--pidfile={self._pidfile}", "--storage-driver=vfs", "--bridge=none", "--iptables=false",
            "--ip6tables=false", "--shutdown-timeout=5",
        ]  # fmt: skip
        with self._log.open("ab") as log:
            daemon = subprocess.Popen(self._inside(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def answers() -> bool:
            if daemon.poll() is not None:
                answer = self.log().splitlines()
                raise Unavailable(f"dockerd does not start here: {answer[-1] if answer else daemon.returncode}")
            with suppress(DockerException, requests.RequestException), self._client() as api:
                return bool(api.ping())
            return False

        _until(answers)

    def stop(self, signal: str = "TERM") -> None:
        """End the daemon, and with TERM its containers; wait until it is gone."""
        pid = self._pidfile.read_text()
        subprocess.run(self._inside("kill", f"-{signal}", pid), check=True)
        there = self._inside("kill", "-0", pid)
        _until(lambda: subprocess.run(there, check=False, capture_output=True).returncode != 0)

    def load(self, image: str, *programs: str) -> None:
        """Make an image of programs of this machine, with the libraries that they need."""
        packed = io.BytesIO()
        paths = sorted({needed for program in programs for needed in _needed(program)})
        above = {str(folder).lstrip("/") for path in paths for folder in Path(path).parents} - {""}
        with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
            # Folders that no entry names are made by Docker 20.10 with mode 0600: closed to root without capabilities.
            for folder, mode in [*((name, 0o755) for name in sorted(above)), ("tmp", 0o1777), ("etc", 0o755)]:
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, mode
                tar.addfile(entry)
            for path in paths:
                tar.add(path, path.lstrip("/"))
        with self._client() as api:
            api.import_image_from_data(packed.getvalue(), repository=image, tag="1")

    def containers(self) -> list[str]:
        """The ids of all containers, running or not."""
        with self._client() as api:
            return [container["Id"] for container in api.containers(all=True)]

    def is_empty(self) -> bool:
        """Whether no container is left. After a restart, the daemon removes those that wanted it on the side."""
        return not self.containers()

    def running(self) -> list[str]:
        """The ids of the containers that run."""
        with self._client() as api:
            return [container["Id"] for container in api.containers()]

    def log(self) -> str:
        """What the daemon said since it was first started."""
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """End all."""
        with suppress(OSError, subprocess.CalledProcessError, AssertionError):
            self.stop()
        self._init.kill()
        self._init.wait()

    def _inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--target={self._first()}", "--net", "--mount", "--pid", *command]

    def _first(self) -> int:
        """The first process of the namespaces, as it is numbered outside."""
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children")
        _until(lambda: self._init.poll() is not None or bool(children.read_text().split()))
        if self._init.poll() is not None:
            raise Unavailable("this machine gives no namespaces of their own to tests; that takes root's rights")
        return int(children.read_text().split()[0])

    @contextmanager
    def _client(self) -> Iterator[docker.APIClient]:
        api = docker.APIClient(self.host, timeout=10)
        try:
            yield api
        finally:
            api.close()


@contextmanager
def own_docker() -> Iterator[OwnDocker]:
    """A running engine without images.

    Raises:
        Unavailable: none is available here.
    """
    for program in ("dockerd", "unshare", "nsenter"):
        if shutil.which(program) is None:
            raise Unavailable(f"there is no {program} on this machine")
    if os.geteuid() != 0:
        raise Unavailable("a Docker engine of a test's own takes root's rights")
    # a short path: those of sockets have little room
    with tempfile.TemporaryDirectory(prefix="gridcwl-docker-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        engine = OwnDocker(Path(folder))
        try:
            engine.start()
            yield engine
        finally:
            engine.close()


def _needed(program: str) -> Iterator[str]:
    path = shutil.which(program)
    assert path is not None, program
    yield path
    linked = subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout
    yield from re.findall(r"(/\S+) \(0x", linked)


def _until(condition: Callable[[], bool]) -> None:
    patience = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < patience, "it never came to that"
        time.sleep(0.02)
