"""Docker containers that are used again: one for each image and worker slot, in which job after job is started.

A warm container's first process waits for the end of its standard input, which is this client: when the client goes,
however it goes, the container ends and all that runs in it. A job is started by ``exec``; whatever needs more than a
warm container can give gets one of its own. A container in which a job was killed or left something running is not
used again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException

from gridcwl.backends.local.docker_engine import (
    STOPPED,
    Container,
    DockerConnection,
    DockerEngine,
    container_config,
    explained,
    remove,
)
from gridcwl.backends.local.docker_stream import Attachment, ExecAttachment, Streams
from gridcwl.backends.local.slots import ContainerNeeds, Shape, Slot, needs
from gridcwl.worker.cli_exit import signed
from gridcwl.worker.engine import DEFAULT_SETTINGS, Call, ContainerSettings, EngineError, Exit
from gridcwl.worker.sampling import SAMPLER
from gridcwl.worker.usage import UNKNOWN, Used

_WAIT = ("sh", "-c", "trap '' TERM INT HUP; read line")
_TERMINATE = ("sh", "-c", "kill -s TERM -- -1")
_NOT_STARTED = (126, 127)
_IDLE = 2  # processes of a warm container without a job: its init, and the one that waits
_LABEL = "gridcwl.warm"


class ReusingDockerEngine(DockerEngine):
    """As ``DockerEngine``, but quicker, and with less between one job and the next of the same image.

    Args:
        folder: the run's working folder, below which jobs have their own folders.
    """

    def __init__(self, folder: Path, settings: ContainerSettings = DEFAULT_SETTINGS) -> None:
        super().__init__(settings)
        self._folder = os.path.realpath(folder)
        self._slots = Path(self._folder) / "slots"
        self._numbers = itertools.count()
        self._idle: dict[tuple[Any, ...], list[Warm]] = {}
        self._warm_lock = threading.Lock()
        self._unfit: dict[str, bool] = {}

    def start(self, call: Call) -> Container | WarmJob:  # type: ignore[override]
        """Start the tool in a warm container, or in one of its own; see ``DockerEngine.start``."""
        call = dataclasses.replace(
            call,
            mounts=tuple(dataclasses.replace(mount, source=os.path.abspath(mount.source)) for mount in call.mounts),  # noqa: PTH100
        )
        wanted = self._wanted(call)
        warm = self._take(call, wanted) if wanted is not None else None
        if wanted is None or warm is None:
            return super().start(call)
        try:
            return WarmJob(self, warm, call, wanted)
        except BaseException:
            warm.discard()
            raise

    def close(self) -> None:
        """Remove the warm containers, and give the connections back."""
        with self._warm_lock:
            warm = [one for idle in self._idle.values() for one in idle]
            self._idle.clear()
        for one in warm:
            one.discard()
        super().close()

    def alone(self, call: Call) -> Container:
        """Start the tool in a container of its own."""
        return super().start(call)

    def give_back(self, warm: Warm) -> None:
        """The job in it has ended, and left nothing."""
        with self._warm_lock:
            self._idle.setdefault(warm.key, []).append(warm)

    def _wanted(self, call: Call) -> ContainerNeeds | None:
        if self.settings != DEFAULT_SETTINGS:  # each of them makes a container that others are not like
            return None
        if call.network or call.gpus or call.ram_mib is not None or call.shm_bytes is not None or call.image is None:
            return None
        return None if self._is_unfit(call.image) else needs(call, self._folder)

    def _is_unfit(self, image: str) -> bool:
        """Whether an image has an entry point of its own, which ``exec`` would pass by; asked once."""
        if image not in self._unfit:
            try:
                api: Any = self._connect().api
                config = api.inspect_image(image).get("Config") or {}
            except (DockerException, requests.RequestException):
                return True  # its problem is reported when a container is created
            self._unfit[image] = bool(config.get("Entrypoint")) or bool(config.get("Volumes"))
        return self._unfit[image]

    def _take(self, call: Call, wanted: ContainerNeeds) -> Warm | None:
        assert call.image is not None
        run = call.labels.get("gridcwl.run", "")
        with self._warm_lock:
            shape = Shape(wanted.targets)
            key = (call.image, run, shape, call.cores, call.capabilities, call.processes)
            idle = self._idle.get(key)
            while idle:
                if not (warm := idle.pop()).connection.watch.ended():  # else it has ended with the engine
                    return warm
                warm.slot.remove()
        try:
            return Warm(self._connect(), key, Slot(self._slots / f"{os.getpid()}-{next(self._numbers)}", shape), call)
        except EngineError as error:
            self._unfit[call.image] = not error.temporary  # there may be no shell in it
            return None


class Warm:
    """A warm container."""

    def __init__(self, connection: DockerConnection, key: tuple[Any, ...], slot: Slot, call: Call) -> None:
        """Create and start it.

        Raises:
            EngineError: it does not start.
        """
        self.key = key
        self.slot = slot
        self.connection = connection
        name = f"gridcwl-warm-{uuid.uuid4().hex[:16]}"
        run = {"gridcwl.run": call.labels.get("gridcwl.run", ""), _LABEL: "yes"}
        warm = dataclasses.replace(
            call, name=name, argv=_WAIT, environment={}, stdin="", mounts=tuple(slot.mounts()), workdir="/", labels=run
        )
        config = container_config(warm, connection.user)
        with contextlib.ExitStack() as undo, explained(f"the container {name}", watch=connection.watch):
            undo.callback(slot.remove)
            created = connection.api.create_container_from_config(config, name)  # type: ignore[no-untyped-call]
            self.id: str = created["Id"]
            undo.callback(remove, connection.api, self.id)
            # The engine closes the container's stdin when this connection breaks.
            self._life = Attachment(connection.api, self.id, stdin=True)
            undo.callback(self._life.close)
            connection.api.start(self.id)
            state = connection.api.inspect_container(self.id)["State"]
            if not state["Running"]:
                raise EngineError(f"The image of {call.name} has no shell that could wait in it.")
            self._processes = _processes_file(int(state["Pid"]))
            self.group = connection.group(self.id)
            undo.pop_all()

    def is_empty(self) -> bool:
        """Whether nothing runs in it but what is its own."""
        with contextlib.suppress(OSError, ValueError):
            if self._processes is not None:
                return len(self._processes.read_text("ascii").split()) <= _IDLE
        with contextlib.suppress(DockerException, requests.RequestException):
            return len(self.connection.api.top(self.id)["Processes"]) <= _IDLE
        return False

    def discard(self) -> None:
        """End it with all that runs in it. Safe to call twice."""
        remove(self.connection.api, self.id)
        self._life.close()
        self.slot.remove()


class WarmJob:
    """A tool that runs in a warm container. See ``gridcwl.worker.engine.Running``."""

    def __init__(self, engine: ReusingDockerEngine, warm: Warm, call: Call, wanted: ContainerNeeds) -> None:
        """Start it.

        Raises:
            EngineError: the engine refused or is gone.
            OSError: the files for the streams could not be opened, or the folders not be moved.
        """
        self._engine = engine
        self._warm = warm
        self._call = call
        self._wanted = wanted
        self._api = warm.connection.api
        self._lock = threading.Lock()
        self._sent: set[str] = set()
        self._alone: Container | None = None
        self._over = False
        with contextlib.ExitStack() as undo, explained(f"the job {call.name}", watch=warm.connection.watch):
            self._streams = undo.enter_context(Streams(call.stdin, call.stdout, call.stderr))
            undo.callback(warm.slot.leave, wanted)
            warm.slot.enter(wanted)
            undo.callback(remove, self._api, warm.id)  # before the folders are taken away
            self._before = warm.group.begin() if warm.group is not None else UNKNOWN
            self._exec, self._attachment = self._begin()
            self._sample = SAMPLER.watch(warm.group.read) if warm.group is not None else None
            undo.pop_all()

    def _begin(self) -> tuple[str, ExecAttachment]:
        call = self._call
        body = {
            "AttachStdin": call.stdin is not None,
            "AttachStdout": True,
            "AttachStderr": True,
            "Cmd": list(call.argv),
            "Env": [f"{name}={value}" for name, value in call.environment.items()],
            "User": self._warm.connection.user,
            "WorkingDir": call.workdir,  # empty: the image's
        }
        identifier = _execute(self._api, self._warm.id, body)
        return identifier, ExecAttachment(self._api, identifier, lambda: self._may_say_more(identifier))

    def _may_say_more(self, identifier: str) -> bool:
        """Whether more output can come: the tool runs, or it left nothing that could hold its streams open.

        A loaded engine delivers the last output long after it has reported the end of the tool.
        """
        return bool(_state(self._api, identifier)["Running"]) or self._warm.is_empty()

    def wait(self) -> Exit:
        """See ``Container.wait``."""
        again = False
        with contextlib.ExitStack() as done, explained("the running job", temporary=True):
            done.enter_context(self._streams)
            discard = done.enter_context(contextlib.ExitStack())
            discard.callback(self._discard)
            done.callback(self._attachment.close)
            if self._sample is not None:
                done.callback(SAMPLER.drop, self._sample)
            whole = self._attachment.copy(self._streams)
            used = self._used()
            code = self._code()
            again = code in _NOT_STARTED and self._was_not_started()
            if code in STOPPED and not self._sent and not self._warm.connection.watch.same():
                raise EngineError("The Docker engine was stopped, and the running container with it.", temporary=True)
            with self._lock:
                self._over = True
                clean = whole and not self._sent and self._warm.is_empty()
            if clean:
                discard.pop_all()
                self._warm.slot.leave(self._wanted)
                self._engine.give_back(self._warm)
        if again:
            return self._run_alone()
        return Exit(signed(code, self._sent), False, *used)

    def _used(self) -> Used:
        return SAMPLER.drop(self._sample, look=True).since(self._before) if self._sample is not None else UNKNOWN

    def terminate(self) -> None:
        """SIGTERM to all processes of the job."""
        with self._lock:
            self._sent.add("TERM")
            if self._alone is not None:
                self._alone.terminate()
            elif not self._over:
                with contextlib.suppress(APIError, requests.RequestException):
                    identifier = _execute(
                        self._api, self._warm.id, {"Cmd": list(_TERMINATE), "User": self._warm.connection.user}
                    )
                    self._api.exec_start(identifier, detach=True)

    def kill(self) -> None:
        """SIGKILL to the container's init, with which the kernel ends all others in it."""
        with self._lock:
            self._sent.add("KILL")
            if self._alone is not None:
                self._alone.kill()
            elif not self._over:
                with contextlib.suppress(APIError, requests.RequestException):
                    self._api.kill(self._warm.id, "SIGKILL")

    def _code(self) -> int:
        try:
            code = _state(self._api, self._exec)["ExitCode"]
        except APIError as error:
            if error.status_code == 404:  # the container was removed, and the job with it
                return STOPPED[0]
            raise
        return STOPPED[0] if code is None or self._is_gone() else int(code)

    def _is_gone(self) -> bool:
        return "KILL" in self._sent

    def _was_not_started(self) -> bool:
        """Whether the runtime refused; then only a container of its own has the right code and words for it."""
        return any(b"OCI runtime exec failed" in _head(path) for path in (self._call.stdout, self._call.stderr))

    def _run_alone(self) -> Exit:
        alone = self._engine.alone(self._call)
        with self._lock:
            self._alone = alone
            sent = set(self._sent)
        if "KILL" in sent:
            alone.kill()
        elif "TERM" in sent:
            alone.terminate()
        return alone.wait()

    def _discard(self) -> None:
        """First all processes, then the folders."""
        with self._lock:
            self._over = True
        remove(self._api, self._warm.id)
        with contextlib.suppress(OSError):
            self._warm.slot.leave(self._wanted)
        self._warm.discard()


def _execute(api: docker.APIClient, container: str, body: Mapping[str, Any]) -> str:
    """``APIClient.exec_create`` takes a command line apart again, and asks for the container first."""
    response = api._post_json(f"{api.base_url}/v{api.api_version}/containers/{container}/exec", data=dict(body))  # type: ignore[attr-defined]
    return str(api._result(response, True)["Id"])  # type: ignore[attr-defined]


def _state(api: docker.APIClient, identifier: str) -> Mapping[str, Any]:
    state: Mapping[str, Any] = api.exec_inspect(identifier)
    return state


def _head(path: str) -> bytes:
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        return file.read(200)
    return b""


def _processes_file(pid: int) -> Path | None:
    """The kernel's list of the processes of a container, if it is of this machine and can be read."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text("ascii").splitlines():
            _, controllers, group = line.split(":", 2)
            for mounted in (controllers, "pids") if controllers else ("", "unified"):
                file = Path(f"/sys/fs/cgroup/{mounted}{group}/cgroup.procs")
                if file.is_file() and str(pid) in file.read_text("ascii").split():
                    return file
    return None
