"""The engine on the Docker SDK keeps the contract, and says so when its daemon goes away."""

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest
from docker_api import SeenByDocker
from engine_place import IMAGE, Place
from engine_suite import EngineContract

from gridcwl.backends.local.docker_engine import DockerEngine
from gridcwl.worker.engine import ContainerSettings, EngineError

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def engine(api):  # noqa: ARG001  skips if missing
    engine = DockerEngine()
    yield engine
    engine.close()


class TestDockerEngine(SeenByDocker, EngineContract):
    def test_the_containers_user_is_the_caller_whoever_that_is(self, place, monkeypatch):
        if os.geteuid():
            pytest.skip("only root can give the folder to somebody else")
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        monkeypatch.setattr(os, "getegid", lambda: 23456)
        place.out.chmod(0o777)
        engine = DockerEngine()
        assert engine.start(place.shell("echo x > mine")).wait().code == 0
        engine.close()
        assert (place.out / "mine").stat().st_uid == 12345
        assert (place.out / "mine").stat().st_gid == 23456

    def test_a_stream_that_cannot_be_written_ends_the_container(self, engine, place):
        call = place.shell("head -c 1000000 /dev/zero; exec sleep 1000", stdout="/dev/full")
        running = engine.start(call)
        with pytest.raises(OSError, match="No space left"):
            running.wait()
        assert self.is_gone(call.name)


def test_no_engine_is_reported_with_its_address(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineError, match=rf"No Docker engine answers at unix://{tmp_path}/none\.sock: No such file"):
        DockerEngine().prepare({"id": IMAGE})


class _Relay:
    """A socket that leads to the engine, and can be cut: what a restart of the daemon looks like from outside."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def refuse(self) -> None:
        """Take no new connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self) -> None:
        for end in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect("/var/run/docker.sock")
                self._open += [near, far]
                threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(far, near), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def relay(api, monkeypatch, tmp_path):  # noqa: ARG001  skips where there is no engine
    if not Path("/var/run/docker.sock").is_socket():
        pytest.skip("the Docker engine is not at its usual socket")
    relay = _Relay(tmp_path / "relay.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/relay.sock")
    yield relay
    relay.cut()


def sleeper(engine, folder):
    """A tool that runs until it is stopped."""
    place = Place(folder, engine.prepare({"id": IMAGE}))
    started = place.pipe("started")
    call = place.shell("echo > started; exec sleep 1000")
    running = engine.start(call)
    started.read_text()
    return call, running


def test_a_daemon_that_goes_away_in_mid_run_is_reported_and_may_be_tried_again(relay, monkeypatch, tmp_path):
    call, running = sleeper(DockerEngine(), tmp_path)
    relay.cut()
    with pytest.raises(EngineError, match="the Docker engine was lost") as raised:
        running.wait()
    assert raised.value.temporary
    monkeypatch.delenv("DOCKER_HOST")
    assert DockerEngine().cleanup(call.labels["gridcwl.run"]) == 1


def test_a_container_that_the_daemon_stops_for_its_own_end_is_reported(api, relay, tmp_path):
    # As dockerd does it at SIGTERM: no new connections, then all containers are stopped, then the old ones are cut.
    call, running = sleeper(DockerEngine(), tmp_path)
    relay.refuse()
    api.kill(call.name, "SIGTERM")
    with pytest.raises(EngineError, match="Docker engine was stopped") as raised:
        running.wait()
    assert raised.value.temporary


def test_a_container_that_somebody_else_stops_ends_with_the_code_of_that(api, engine, tmp_path):
    call, running = sleeper(engine, tmp_path)
    api.kill(call.name, "SIGTERM")
    assert running.wait().code == 143


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_roots_image_writes_to_folders_of_another_user(tmp_path, engine):
    """As an ordinary user has it with ``--no-match-user``: the image's root is not the owner of the folders."""
    place = Place(tmp_path, engine.prepare({"id": IMAGE}))
    os.chown(place.out, 12345, 12345)
    place.out.chmod(0o755)

    unmatched = DockerEngine(ContainerSettings(match_user=False))
    assert unmatched.start(place.shell("echo x > file && chown 12345 file")).wait().code == 0
    assert engine.start(place.shell("echo x > other")).wait().code != 0
    unmatched.close()
