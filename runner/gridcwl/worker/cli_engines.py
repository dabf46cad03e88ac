"""Container engines by their command line: apptainer, singularity, podman, docker, udocker. Standard library only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shutil
import subprocess
import tempfile
from typing import Any, List, Mapping, Optional, Set

from gridcwl.worker.bare_engine import BareEngine, BareProcess
from gridcwl.worker.cli_exit import KILLED, last_words, meaning, signed
from gridcwl.worker.cli_images import (
    Preparation,
    digest_in,
    digest_vector,
    found,
    look_vector,
    prepare_vectors,
    refuse_words,
)
from gridcwl.worker.cli_vectors import (
    KINDS,
    Cli,
    command_environment,
    is_modern,
    list_vector,
    oom_vector,
    remove_vector,
    sif_name,
    signal_vector,
    vector,
)
from gridcwl.worker.engine import DEFAULT_SETTINGS, Call, ContainerSettings, EngineError, Exit
from gridcwl.worker.image_source import open_archive
from gridcwl.worker.once import Once
from gridcwl.worker.sampling import SAMPLER
from gridcwl.worker.usage import UNKNOWN, NamedContainer, Used

log = logging.getLogger("gridcwl.images")

_HEAD = 4096
_CATATONIT = ("/usr/libexec/podman/catatonit", "/usr/local/libexec/podman/catatonit")


class CommandLineEngine:
    """One engine of this machine. One instance serves many jobs from many threads."""

    containers = True

    def __init__(
        self,
        kind: str,
        executable: Optional[str] = None,
        cache: Optional[str] = None,
        settings: ContainerSettings = DEFAULT_SETTINGS,
    ) -> None:
        """``cache`` is where apptainer's images are kept; ``CWL_SINGULARITY_CACHE`` by default, as with cwltool."""
        self.name = kind
        self._executable = executable or kind
        self._settings = settings
        self._cache = cache or os.environ.get("CWL_SINGULARITY_CACHE") or _default_cache()
        self._known = Once()
        self._digests = Once()
        self._found = Once()

    def prepare(self, image: Mapping[str, Any]) -> str:
        """See that the image is there; the answer is its id, for apptainer its path.

        Raises:
            EngineError: the engine is not there, or the image can neither be found, pulled, loaded nor built.
        """
        cli = self._cli()
        name = image.get("id") or image.get("pull") or ""
        if not name:
            raise EngineError("An image needs a name: dockerImageId or dockerPull.")
        refuse_words(image)
        make = self._prepare_file if cli.kind in {"apptainer", "singularity"} else self._prepare_named
        return self._known.get(json.dumps(dict(image), sort_keys=True), lambda: make(cli, image, name))

    def digest(self, prepared: str) -> str:
        """See ``Engine.digest``. Of apptainer's files it is the SHA-256; udocker, and a folder of CVMFS, have none."""
        return self._digests.get(prepared, lambda: self._digest(prepared))

    def has(self, image: Mapping[str, Any]) -> bool:
        """Whether the image is on this machine already; an engine that does not answer has none."""
        name = image.get("id") or image.get("pull") or ""
        try:
            refuse_words(image)
            cli = self._cli()
            if cli.kind in {"apptainer", "singularity"}:
                return any(map(os.path.exists, self._places(name)))
            return self._look(cli, image, name) is not None
        except (EngineError, OSError):
            return False

    def keep(self, path: str, name: str) -> str:
        """Take a finished .sif file of this image into the cache, if there is none; the answer is its id.

        Raises:
            OSError: there is no room for it.
        """
        os.makedirs(self._cache, exist_ok=True)
        destination = os.path.join(self._cache, sif_name(name))
        if not os.path.exists(destination):
            with tempfile.TemporaryDirectory(prefix=".making-", dir=self._cache) as folder:
                part = os.path.join(folder, "image.sif")
                shutil.copyfile(path, part)
                os.replace(part, destination)
        return destination

    def start(self, call: Call) -> "CommandLineRun":
        """Start the engine's command, which starts the tool; what it could not do, ``wait`` says.

        Raises:
            EngineError: the engine is not there, or it cannot do what is asked.
            OSError: the files for the streams could not be opened.
        """
        cli = self._cli()
        words = vector(cli, call)
        own = {**os.environ, **command_environment(cli, call)}
        folder = container = None
        if cli.daemonlike:
            folder = tempfile.mkdtemp(prefix="gridcwl-")
            container = NamedContainer(folder, _value_of("--cidfile=", words))
            words[2:2] = [word for word in container.words(cli.kind) if word not in words]
        # The command is a process like any other: the streams are its own, so no byte passes through here.
        client = dataclasses.replace(call, argv=tuple(words), environment=own, workdir="/")
        try:
            return CommandLineRun(cli, call, BareEngine().start(client), folder, container)
        except BaseException:
            _remove(folder)
            raise

    def cleanup(self, run: str) -> int:
        """Remove all containers of a run, running or not; returns how many there were.

        Those of apptainer and udocker are processes that end with their job.

        Raises:
            EngineError: the engine is not there, or does not answer.
        """
        cli = self._cli()
        if not cli.daemonlike:
            return 0
        listed = _run(list_vector(cli, run))
        if listed.returncode:
            raise EngineError(f"{cli.kind} does not answer: {last_words(listed.stderr)}.")
        names = listed.stdout.decode().split()
        if names:
            _run(remove_vector(cli, *names))
        return len(names)

    def close(self) -> None:
        """Nothing is held."""

    def _cli(self) -> Cli:
        path = self._found.get("executable", self._find)
        init = self.name != "podman" or bool(shutil.which("catatonit") or any(map(os.path.exists, _CATATONIT)))
        modern = True
        if self.name in {"apptainer", "singularity", "podman"}:
            modern = is_modern(self._found.get("version", lambda: _version(path)))
        if self.name == "podman" and os.environ.get("CONTAINER_HOST"):
            modern = False  # the container is on another machine, and cannot have this one's streams
        return Cli(self.name, path, os.geteuid(), os.getegid(), init=init, modern=modern, settings=self._settings)

    def _find(self) -> str:
        path = shutil.which(self._executable)
        if self.name not in KINDS or path is None:
            raise EngineError(f"The container engine {self._executable} is not installed on this machine.")
        return path

    def _prepare_named(self, cli: Cli, image: Mapping[str, Any], name: str) -> str:
        answer = self._look(cli, image, name)
        if answer is None and self._settings.pull == "never":
            raise _forbidden(name)
        if answer is None or self._settings.pull == "always":
            for step in prepare_vectors(cli, image, name):
                _take(cli, step, name)
            answer = self._look(cli, image, name)
        if answer is None:
            raise EngineError(f"The image {name} is not there; what was loaded bears another name.")
        return answer

    def _look(self, cli: Cli, image: Mapping[str, Any], name: str) -> Optional[str]:
        looked = _run(look_vector(cli, name))
        if looked.returncode:
            words = last_words(looked.stderr)
            if "cannot connect" in words.lower() or "permission denied" in words.lower():
                raise EngineError(f"{cli.kind} does not answer: {words}.")
            return None
        return name if cli.kind == "udocker" else found(looked.stdout.decode(), image.get("file"))

    def _digest(self, prepared: str) -> str:
        cli = self._cli()
        if cli.daemonlike:
            looked = _run(digest_vector(cli, prepared))
            return digest_in(looked.stdout.decode(), prepared)
        if cli.kind == "udocker" or not os.path.isfile(prepared):
            return ""
        digest = hashlib.sha256()
        with open(prepared, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return f"sha256:{digest.hexdigest()}"

    def _prepare_file(self, cli: Cli, image: Mapping[str, Any], name: str) -> str:
        for place in self._places(name):
            if os.path.exists(place) and (self._settings.pull != "always" or not place.startswith(self._cache)):
                return place
        if self._settings.pull == "never":
            raise _forbidden(name)
        os.makedirs(self._cache, exist_ok=True)
        destination = os.path.join(self._cache, sif_name(name))
        # Made beside and renamed: others share the cache, and must not find half of an image.
        with tempfile.TemporaryDirectory(prefix=".making-", dir=self._cache) as folder:
            part = os.path.join(folder, "image.sif")
            for step in prepare_vectors(cli, image, name, part):
                _take(cli, step, name)
            os.replace(part, destination)
        return destination

    def _places(self, name: str) -> List[str]:
        """Where the image may be: a path as it is (CVMFS), the folder of images that cwltool knows, our cache."""
        own = self._settings.sandboxes or os.environ.get("CWL_SINGULARITY_IMAGES")
        folders = [folder for folder in (own, self._cache) if folder]
        places = [name] if os.path.isabs(name) else []
        return places + [os.path.join(folder, file) for folder in folders for file in (name, sif_name(name))]


class CommandLineRun:
    """A started tool, seen through the engine's command."""

    def __init__(
        self,
        cli: Cli,
        call: Call,
        client: BareProcess,
        folder: Optional[str] = None,
        container: Optional[NamedContainer] = None,
    ) -> None:
        """``container`` is that of an engine with containers that have names; ``folder`` is removed with it."""
        self._cli = cli
        self._folder = folder
        self._sample = SAMPLER.watch(container.read) if container is not None else None
        self._call = call
        self._client = client
        self._sent: Set[str] = set()

    def wait(self) -> Exit:
        """Block until the command has ended, then see that the container is gone.

        Raises:
            EngineError: the tool was not started, or the command was killed by somebody else.
        """
        try:
            ended = self._client.wait()
        finally:
            used = self._used()
        cli, name = self._cli, self._call.name
        out_of_memory = False
        if cli.daemonlike:
            if self._call.ram_mib is not None:
                killed = _run(oom_vector(cli, name)).stdout.strip() == b"true"
                # podman 4.3 says false with version 1 of cgroups; who else would have killed it, under a limit?
                out_of_memory = killed or (cli.kind == "podman" and ended.code == KILLED and not self._sent)
            left = ended.code or self._call.ram_mib is not None or self._sent
            if left and (cli.settings.remove or self._sent):
                _run(remove_vector(cli, name))  # else --rm has done it
            ended = Exit(ended.code, False, *used)  # the command's own CPU time says nothing of the tool's
        code, refusal = meaning(cli.kind, ended.code, self._head() if ended.code else b"")
        if refusal is not None and not self._sent:
            raise EngineError(f"{cli.kind} could not start {name}: {refusal}.")
        if code < 0 and not self._sent:
            raise EngineError(f"The command {cli.kind} that ran {name} was ended by signal {-code}.", temporary=True)
        return dataclasses.replace(ended, code=signed(code, self._sent), out_of_memory=out_of_memory)

    def _used(self) -> Used:
        used = SAMPLER.drop(self._sample) if self._sample is not None else UNKNOWN
        _remove(self._folder)
        return used

    def terminate(self) -> None:
        """SIGTERM to the tool."""
        self._signal("TERM")

    def kill(self) -> None:
        """SIGKILL to the tool, with all that it started."""
        self._signal("KILL")

    def _signal(self, name: str) -> None:
        self._sent.add(name)
        if self._cli.daemonlike and not _run(signal_vector(self._cli, self._call.name, name)).returncode:
            return
        # Not there yet, or no more; or the tool is a child of the command.
        if name == "KILL":
            self._client.kill()
        else:
            self._client.terminate()

    def _head(self) -> bytes:
        try:
            with open(self._call.stderr, "rb") as stream:
                return stream.read(_HEAD)
        except OSError:
            return b""


def find_engine(name: str = "auto", cache: Optional[str] = None) -> CommandLineEngine:
    """The engine of this name; "auto" is the first that is installed: apptainer, singularity, podman, docker, udocker.

    Raises:
        EngineError: there is none.
    """
    if name != "auto":
        return CommandLineEngine(name, cache=cache)
    for kind in KINDS:
        if shutil.which(kind):
            return CommandLineEngine(kind, cache=cache)
    raise EngineError(f"No container engine is installed on this machine ({', '.join(KINDS)}).")


def _forbidden(name: str) -> EngineError:
    return EngineError(f"The image {name} is not on this machine, and --disable-pull forbids to get it.")


def _remove(folder: Optional[str]) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _value_of(option: str, words: List[str]) -> Optional[str]:
    return next((word[len(option) :] for word in words if word.startswith(option)), None)


def _take(cli: Cli, step: Preparation, name: str) -> None:
    log.info("%s", step.doing)
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(step.argv, stdin=subprocess.PIPE, stdout=printed, stderr=printed)
        try:
            with process.stdin or open(os.devnull, "wb") as stdin:
                if step.text is not None:
                    stdin.write(step.text.encode())
                elif step.archive is not None:
                    with open_archive(step.archive) as archive:
                        shutil.copyfileobj(archive, stdin, 1 << 20)
        except BrokenPipeError:
            pass  # it has failed, and says why
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
        printed.seek(0)
        if code:
            raise EngineError(f"{cli.kind} cannot get the image {name}: {last_words(printed.read())}.")


def _run(words: List[str]) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _version(path: str) -> str:
    return _run([path, "--version"]).stdout.decode()


def _default_cache() -> str:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "gridcwl", "images")
