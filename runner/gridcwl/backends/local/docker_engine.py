"""The Docker engine by its API: a container is five short requests, and no process of docker's command line.

Each container is created with AutoRemove, as ``docker run --rm`` does it: the engine removes it by itself when it has
ended, also when nobody is left to ask for it. Only one with a memory limit stays until it was looked at, for whether
the kernel ended it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import docker
import requests
from docker.constants import DEFAULT_UNIX_SOCKET
from docker.context import ContextAPI
from docker.errors import APIError, DockerException
from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnectionPool
from docker.utils import kwargs_from_env

from gridcwl.backends.local.docker_stream import Attachment, Streams
from gridcwl.backends.local.docker_watch import Watch
from gridcwl.backends.local.images import Images
from gridcwl.worker.cli_exit import signed
from gridcwl.worker.cli_vectors import RUN_LABEL, id_file
from gridcwl.worker.engine import DEFAULT_SETTINGS, PROCESSES, Call, ContainerSettings, EngineError, Exit, kept
from gridcwl.worker.sampling import SAMPLER, Sample
from gridcwl.worker.usage import UNKNOWN, ControlGroup, DockerGroups

_CONNECTIONS = 64
STOPPED = (137, 143)  # by SIGKILL, by SIGTERM
_MISSES = 5  # control groups that were not found; then the engine's are taken to be on another machine
_TIMEOUT_S = 300  # for an answer; an engine under load has been seen to take a minute to create a container


class DockerEngine:
    """Starts tools in Docker containers. One instance serves many jobs from many threads.

    It connects when it is first used: to ``DOCKER_HOST``, else where docker's own command line would connect to.
    """

    name = "docker"
    containers = True

    def __init__(self, settings: ContainerSettings = DEFAULT_SETTINGS) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._connection: DockerConnection | None = None

    def prepare(self, image: Mapping[str, Any]) -> str:
        """See that the image is there; the answer is its id, which stays the same when its name is given to another.

        Raises:
            EngineError: no engine answers, or the image can neither be found, pulled, loaded nor built.
        """
        connection = self._connect()
        with explained("the image", watch=connection.watch):
            return connection.images.prepare(image, self.settings.pull)

    def digest(self, prepared: str) -> str:
        """See ``Engine.digest``."""
        return self._connect().images.digest(prepared)

    def inspect(self, name: str) -> Mapping[str, Any] | None:
        """What the engine knows of an image; None if it is not there.

        Raises:
            EngineError: no engine answers.
        """
        connection = self._connect()
        with explained("the image", watch=connection.watch):
            return connection.images.look(name)

    def start(self, call: Call) -> Container:
        """Create a container, listen to its streams, start it.

        A program that is not in the image is no error here: as with ``docker run`` the exit code is 127 (126 if it may
        not be executed), and stderr says which.

        Raises:
            EngineError: no engine answers, or the container could not be created or started.
            OSError: the files for the streams could not be opened.
        """
        connection = self._connect()
        api = connection.api
        with contextlib.ExitStack() as undo, explained(f"the container {call.name}", watch=connection.watch):
            streams = undo.enter_context(Streams(call.stdin, call.stdout, call.stderr))
            # As a plain request body, for the SDK's create_host_config has no word for some of what is in it.
            config = container_config(call, connection.user, self.settings)
            created = api.create_container_from_config(config, call.name)  # type: ignore[no-untyped-call]
            identifier: str = created["Id"]
            undo.callback(remove, api, identifier)
            note_id(self.settings, identifier)
            # Before the start, or the output of a quick tool would be lost.
            attachment = Attachment(api, identifier, stdin=call.stdin is not None)
            undo.callback(attachment.close)
            # Asked before the start as well: should the engine restart while the tool runs, this request breaks, where
            # one made afterwards would get the exit code of a container that the restart has killed.
            end = _request_end(api, identifier)
            undo.callback(end.close)
            api.start(identifier)
            undo.pop_all()
        limited = call.ram_mib is not None
        return Container(
            connection, identifier, attachment, end, streams, limited=limited, keep=not self.settings.remove
        )

    def cleanup(self, run: str) -> int:
        """Remove all containers of a run, running or not; returns how many there were.

        Raises:
            EngineError: no engine answers.
        """
        api = self._connect().api
        with explained(f"the containers of {run}"):
            found = api.containers(all=True, filters={"label": f"{RUN_LABEL}={run}"})
        for container in found:
            remove(api, container["Id"])
        return len(found)

    def close(self) -> None:
        """Give the connections back; safe to call twice. The engine can be used again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connect(self) -> DockerConnection:
        """The connection to the engine that is there now: one that was restarted needs another.

        Raises:
            EngineError: no engine answers; temporary if one did before.
        """
        with self._lock:
            if self._connection is None or self._connection.watch.ended():
                self._connection = DockerConnection(again=self._connection is not None)
            return self._connection


class Container:
    """A started container."""

    def __init__(
        self,
        connection: DockerConnection,
        identifier: str,
        attachment: Attachment,
        end: requests.Response,
        streams: Streams,
        *,
        limited: bool,
        keep: bool = False,
    ) -> None:
        self.id = identifier
        self._api = connection.api
        self._watch = connection.watch
        self._attachment = attachment
        self._end = end
        self._streams = streams
        self._limited = limited
        self._keep = keep
        self._sent: set[str] = set()
        group = connection.group(identifier)
        self._sample: Sample | None = SAMPLER.watch(group.read) if group is not None else None

    def wait(self) -> Exit:
        """Write the streams until the container has ended.

        A code above 128 is given as it is: the tool may have returned it, and only a signal that was sent by
        ``terminate`` or ``kill`` is known to be one.

        Raises:
            EngineError: the engine went away while the container ran.
            OSError: a stream could not be written; the container is stopped.
        """
        with contextlib.ExitStack() as done, explained("the running container", temporary=True):
            done.enter_context(self._streams)
            done.callback(self._end.close)
            done.callback(self._attachment.close)
            used = UNKNOWN
            sample, self._sample = self._sample, None
            if sample is not None:
                done.callback(SAMPLER.drop, sample)
            failed = done.enter_context(contextlib.ExitStack())
            failed.callback(remove, self._api, self.id)
            self._attachment.copy(self._streams)
            if sample is not None:
                used = SAMPLER.drop(sample, look=True)  # in the moment before the engine removes the control group
            code = self._exit_code()
            out_of_memory = False
            if self._limited:
                out_of_memory = bool(self._api.inspect_container(self.id)["State"]["OOMKilled"])
            if self._keep or not self._limited:
                failed.pop_all()  # it stays, or removes itself
            if code in STOPPED and not self._sent and not out_of_memory and not self._watch.same():
                raise EngineError("The Docker engine was stopped, and the running container with it.", temporary=True)
        return Exit(signed(code, self._sent), out_of_memory, *used)

    def terminate(self) -> None:
        """SIGTERM to the tool, by way of the container's init."""
        self._signal("TERM")

    def kill(self) -> None:
        """SIGKILL to the container's init, with which the kernel ends all others in it."""
        self._signal("KILL")

    def _signal(self, name: str) -> None:
        self._sent.add(name)
        # It has ended or is gone: then there is nothing to stop. Nor if the engine is gone; wait says so.
        with contextlib.suppress(APIError, requests.RequestException):
            self._api.kill(self.id, f"SIG{name}")

    def _exit_code(self) -> int:
        answer = self._end.json()
        if answer.get("Error"):
            raise EngineError(f"Docker lost the container: {answer['Error'].get('Message')}.", temporary=True)
        return int(answer["StatusCode"])


def container_config(call: Call, user: str, settings: ContainerSettings = DEFAULT_SETTINGS) -> dict[str, Any]:
    """The body of the API's request to create the container.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerCreate
    What is isolated how follows cwltool's docker.py, DockerCommandLineJob.create_runtime.
    """
    host: dict[str, Any] = {
        "NetworkMode": (settings.network or "default") if call.network else "none",
        # Hands on signals, and reaps what the tool leaves behind: a tool as process 1 would not be ended by SIGTERM.
        "Init": True,
        "ReadonlyRootfs": settings.read_only,
        "SecurityOpt": ["no-new-privileges"],
        "CapDrop": ["ALL"],
        "CapAdd": list(kept(call, settings)),
        "PidsLimit": PROCESSES if call.processes is None else call.processes or -1,
        # Docker's log would be a second copy of stdout on this machine's disk.
        "LogConfig": {"Type": "none"},
        "AutoRemove": call.ram_mib is None and settings.remove,
        # Not "Binds": those take colons for separators, and make folders of sources that are not there.
        "Mounts": [
            {"Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": not mount.writable}
            for mount in call.mounts
        ],
    }
    if call.cores is not None:
        host["NanoCpus"] = round(call.cores * 1e9)
    if call.ram_mib is not None:
        host["Memory"] = host["MemorySwap"] = call.ram_mib * 2**20  # the sum of both: no swap on top
    if call.shm_bytes is not None:
        host["ShmSize"] = call.shm_bytes
    if call.gpus:
        host["DeviceRequests"] = [{"Count": call.gpus, "Capabilities": [["gpu"]]}]  # as docker run --gpus
    stdin = call.stdin is not None
    return {
        "Image": call.image,
        "Cmd": list(call.argv),  # after the image's ENTRYPOINT, if it has one
        "Env": [f"{name}={value}" for name, value in call.environment.items()],
        "WorkingDir": call.workdir,  # empty: the image's
        "User": user if settings.match_user else "",
        "Labels": dict(call.labels),
        "AttachStdin": stdin,
        "OpenStdin": stdin,
        "StdinOnce": stdin,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": host,
    }


def note_id(settings: ContainerSettings, identifier: str) -> None:
    """Write a container's id into a file, if that is wanted.

    Raises:
        OSError: it could not be written.
    """
    path = id_file(settings)
    if path is not None:
        with open(path, "x", encoding="ascii") as file:  # noqa: PTH123  as the worker has it
            file.write(identifier)


class DockerConnection:
    """The client of one engine, and what was asked of it once."""

    def __init__(self, *, again: bool = False) -> None:
        """Connect; ``again`` if there was an engine before.

        Raises:
            EngineError: no engine answers.
        """
        where: Mapping[str, Any] = {}
        try:
            # As docker's command line: DOCKER_HOST, else the current context, which may be that of a rootless engine.
            where = kwargs_from_env()
            if "base_url" not in where:
                where = {**where, **ContextAPI.kwargs_from_context()}
            self.api = _client(where, _TIMEOUT_S)
            self._patient = _client(where, None, self.api.api_version)
            self.watch = Watch(self._patient, lambda: _client(where, _TIMEOUT_S, self.api.api_version))
            rootless = "name=rootless" in self.api.info().get("SecurityOptions", [])
        except (DockerException, requests.RequestException, OSError) as error:
            raise EngineError(
                f"No Docker engine answers at {where.get('base_url', DEFAULT_UNIX_SOCKET)}: {one_line(error)}.",
                temporary=again,
            ) from error
        # In a rootless engine's containers root is the caller, and the caller's own number is nobody.
        self.user = "0:0" if rootless else f"{os.geteuid()}:{os.getegid()}"
        self.images = Images(self._patient)
        self._groups = DockerGroups()
        self._misses = 0

    def group(self, identifier: str) -> ControlGroup | None:
        """The control group of a running container, if it is of this machine."""
        if self._misses >= _MISSES:
            return None
        running = False

        def pid() -> int:
            nonlocal running
            state = self.api.inspect_container(identifier)["State"]
            running = bool(state["Running"])
            return int(state["Pid"])

        with contextlib.suppress(DockerException, requests.RequestException, OSError, ValueError):
            group = self._groups.find(identifier, pid)
            self._misses = self._misses + 1 if group is None and running else 0
            return group
        return None

    def close(self) -> None:
        """Close all connections."""
        self.watch.close()
        self.api.close()
        self._patient.close()


class _OnePool(UnixHTTPAdapter):
    """All requests share the kept connections.

    The SDK's adapter keeps a pool for each URL, and closes the oldest of 25: a connection made for one container is
    never used again, and a pool may be closed between being chosen and being used by another thread.
    """

    def get_connection(self, url: bytes | str, proxies: Any = None) -> UnixHTTPConnectionPool:  # noqa: ARG002
        return super().get_connection("http+docker://localhost")


def _client(where: Mapping[str, Any], timeout_s: int | None, version: str = "auto") -> docker.APIClient:
    api = docker.APIClient(
        version=version,
        timeout=timeout_s,  # type: ignore[arg-type]  # None is for ever, as everywhere in requests
        max_pool_size=_CONNECTIONS,
        **where,
    )
    shared = api.adapters.get("http+docker://")
    if isinstance(shared, UnixHTTPAdapter):
        api.mount("http+docker://", _OnePool(shared.socket_path, shared.timeout, max_pool_size=_CONNECTIONS))
    return api


def _request_end(api: docker.APIClient, identifier: str) -> requests.Response:
    """Ask for the container's end: the headers come now, the answer then. ``APIClient.wait`` would block."""
    response = api.post(
        f"{api.base_url}/v{api.api_version}/containers/{identifier}/wait",
        params={"condition": "next-exit"},
        stream=True,
        timeout=None,
    )
    response.raise_for_status()
    return response


def remove(api: docker.APIClient, identifier: str) -> None:
    """Remove the container, running or not; it may be gone, or going, or the engine may be."""
    with contextlib.suppress(DockerException, requests.RequestException):
        api.remove_container(identifier, v=True, force=True)


@contextlib.contextmanager
def explained(what: str, *, temporary: bool = False, watch: Watch | None = None) -> Iterator[None]:
    """Turn the SDK's errors into ours; with ``watch`` also that of an engine which ends and cannot do this any more."""
    try:
        yield
    except APIError as error:
        if watch is not None and error.is_server_error() and not watch.same():
            message = f"The Docker engine was stopped while it handled {what}: {one_line(error)}."
            raise EngineError(message, temporary=True) from error
        raise EngineError(f"Docker refused {what}: {one_line(error)}.", temporary=temporary) from error
    except (DockerException, requests.RequestException) as error:
        message = f"The connection to the Docker engine was lost while it handled {what}: {one_line(error)}."
        raise EngineError(message, temporary=True) from error


def one_line(error: BaseException) -> str:
    """The engine's message without the request, or the system's message on the connection."""
    if isinstance(error, APIError) and error.explanation:
        return " ".join(str(error.explanation).split()).rstrip(".")
    cause: BaseException | None = error
    while cause is not None:
        # requests is an OSError too, without a number
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
