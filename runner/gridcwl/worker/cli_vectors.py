"""The argument vectors of container engines that are used by their command line. Pure functions from values to values.

What is isolated how follows cwltool (``create_runtime`` in docker.py and singularity.py), so that a tool that runs
there runs here. docker and podman are run in the tests; apptainer, singularity and udocker are tested by their vectors
only.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import itertools
import os
import re
from typing import Dict, List, Optional, Tuple

from gridcwl.worker.engine import DEFAULT_SETTINGS, PROCESSES, Call, ContainerSettings, EngineError, Mount, kept

RUN_LABEL = "gridcwl.run"
_NUMBERS = itertools.count()  # two containers may start in the same microsecond
KINDS = ("apptainer", "singularity", "podman", "docker", "udocker")
"""In the order in which they are looked for: the first need no service and no root."""


@dataclasses.dataclass(frozen=True)
class Cli:
    """A command-line engine as it is on this machine."""

    kind: str
    executable: str
    uid: int
    gid: int
    init: bool = True
    """There is a small init to put before the tool (docker brings one, podman wants catatonit)."""
    modern: bool = True
    """For apptainer, singularity and podman: see ``is_modern``."""
    settings: ContainerSettings = DEFAULT_SETTINGS

    @property
    def daemonlike(self) -> bool:
        """The container has a name, and is no child of the command that started it."""
        return self.kind in {"docker", "podman"}


def vector(cli: Cli, call: Call) -> List[str]:
    """The command that runs the tool in the foreground and returns its exit code.

    Raises:
        EngineError: this engine cannot do what the call asks for.
    """
    if call.image is None:
        raise EngineError(f"{cli.kind} was asked to run {call.name} without an image.")
    if cli.daemonlike:
        return _docker(cli, call, call.image)
    if cli.kind == "udocker":
        return _udocker(cli, call, call.image)
    return _apptainer(cli, call, call.image)


def command_environment(cli: Cli, call: Call) -> Dict[str, str]:
    """What the command's own environment must hold for the tool to get its own; empty where options do it."""
    if cli.daemonlike:
        return {name: value for name, value in call.environment.items() if not _is_the_engines(name)}
    if cli.kind not in {"apptainer", "singularity"}:
        return {}
    prefix = f"{cli.kind.upper()}ENV_"  # --env would take a comma for the next variable
    # HOME cannot be given so; it comes by --home
    return {prefix + name: value for name, value in call.environment.items() if name != "HOME"}


_ENGINES_OWN = re.compile(
    r"(HOME|TMPDIR|TE?MP|PATH|USER|SHELL|LANG|ENV|IFS|SHELLOPTS|LOCPATH|NLSPATH|LC_.*|LD_.*|XDG_.*|_.*|.*_PROXY|"
    r"(DOCKER|CONTAINERS?|PODMAN|BUILDAH|BUILDKIT|STORAGE|REGISTRY|DBUS|SSL|NOTIFY|LISTEN|GO|BASH|GLIBC|GCONV|MALLOC|"
    r"NETAVARK|CNI|CDI|OCI|CONMON).*)\Z",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _is_the_engines(name: str) -> bool:
    """Whether the engine's command reads this variable itself, so that the tool's value must not be in its way.

    Nor may one be in its environment that a shell or podman would read in another way: ``--env=A*`` asks podman for
    all variables of the caller that begin with ``A``.
    """
    return _ENGINES_OWN.match(name) is not None or _PLAIN.match(name) is None


def id_file(settings: ContainerSettings) -> Optional[str]:
    """Where the id of the next container is written, if anywhere; cwltool's names (docker.py, create_runtime)."""
    if settings.id_folder is None:
        return None
    name = datetime.datetime.now().strftime("%Y%m%d%H%M%S-%f") + f"-{next(_NUMBERS)}.cid"
    return os.path.join(settings.id_folder, f"{settings.id_prefix}-{name}" if settings.id_prefix else name)


def signal_vector(cli: Cli, name: str, signal: str) -> List[str]:
    """Send a signal (KILL, TERM) to a named container."""
    return [cli.executable, "kill", f"--signal={signal}", name]


def remove_vector(cli: Cli, *names: str) -> List[str]:
    """Remove containers, running or not."""
    # podman would first ask them to stop, and wait for ten seconds
    hurry = ["--time=0"] if cli.kind == "podman" else []
    return [cli.executable, "rm", "--force", "--volumes", *hurry, *names]


def list_vector(cli: Cli, run: str) -> List[str]:
    """Print the ids of all containers of a run, one in a line."""
    return [cli.executable, "ps", "--all", "--quiet", "--no-trunc", f"--filter=label={RUN_LABEL}={run}"]


def oom_vector(cli: Cli, name: str) -> List[str]:
    """Print true if the kernel ended something in the container for want of memory."""
    return [cli.executable, "container", "inspect", "--format={{.State.OOMKilled}}", name]


def is_modern(version: str) -> bool:
    """Whether this answer to ``--version`` is of a release that has all the options used here.

    apptainer 1.1 and SingularityCE 3.10 have ``--no-eval``, which runs an image's entry point unchanged (cwltool's
    singularity.py decides by the same two), and ``--mount``, which can quote any path. podman 4 can give the tool its
    own streams (``--log-driver=passthrough``).
    """
    match = re.match(r"\s*(\S+) version (\d+)\.(\d+)", version)
    if match is None:
        return False
    number = (int(match.group(2)), int(match.group(3)))
    return number >= {"apptainer": (1, 1), "podman": (4, 0)}.get(match.group(1), (3, 10))


def _docker(cli: Cli, call: Call, image: str) -> List[str]:
    settings = cli.settings
    words = [cli.executable, "run", f"--name={call.name}"]
    words += ["--read-only"] if settings.read_only else []
    words += [f"--log-driver={_log_driver(cli)}", "--pull=never"]
    path = id_file(settings)
    if path is not None:
        words.append(f"--cidfile={path}")
    if call.ram_mib is None and settings.remove:
        words.append("--rm")  # otherwise it is asked first what became of it
    if cli.init:
        words.append("--init")
    if call.stdin is not None:
        words.append("--interactive")
    if not call.network:
        words.append("--network=none")
    elif settings.network:
        words.append(f"--network={settings.network}")
    if cli.kind == "podman":
        words.append("--http-proxy=false")  # podman hands the caller's proxies in, where docker does not
        if cli.uid:
            words.append("--userns=keep-id")  # rootless; root may not ask for it
    if settings.match_user:
        words.append(f"--user={cli.uid}:{cli.gid}")
    words += [f"--workdir={call.workdir}"] if call.workdir else []
    words += [f"--mount={_mount(mount, 'target', 'readonly')}" for mount in call.mounts]
    for name, value in call.environment.items():
        # By name only, the engine takes the value from its own environment: a secret is not for the process list.
        words.append(f"--env={name}={value}" if _is_the_engines(name) else f"--env={name}")
    words += [f"--label={name}={value}" for name, value in call.labels.items()]
    words += _docker_limits(cli, call, settings)
    return [*words, image, *call.argv]


def _log_driver(cli: Cli) -> str:
    """Where the engine writes the streams, beside handing them on: nowhere.

    The streams of podman's command go to the tool itself where it can do that. Otherwise they pass through conmon, over
    a socket; and if the tool ends before it has read all of its stdin, the kernel resets that socket, and podman 4.3
    loses what the tool had printed.
    """
    return "passthrough" if cli.kind == "podman" and cli.modern else "none"


def _docker_limits(cli: Cli, call: Call, settings: ContainerSettings) -> List[str]:
    """What the tool may have and do."""
    words: List[str] = []
    if call.cores is not None:
        words.append(f"--cpus={call.cores:g}")
    if call.ram_mib is not None:
        words += [f"--memory={call.ram_mib}m", f"--memory-swap={call.ram_mib}m"]
    if call.shm_bytes is not None:
        words.append(f"--shm-size={call.shm_bytes}b")
    words += ["--security-opt=no-new-privileges", "--cap-drop=ALL"]
    words += [f"--cap-add={name}" for name in kept(call, settings)]
    words.append(f"--pids-limit={PROCESSES if call.processes is None else call.processes or -1}")
    if call.gpus and cli.kind == "docker":
        words.append(f"--gpus={call.gpus}")
    elif call.gpus:  # podman has --gpus since 5.0 only
        words += [f"--device=nvidia.com/gpu={number}" for number in range(call.gpus)]
    return words


def _apptainer(cli: Cli, call: Call, image: str) -> List[str]:
    # "run" is what honours the entry point; before --no-eval it let a shell have a second look at the arguments
    start = ["run", "--no-eval"] if cli.modern else ["exec"]
    words = [cli.executable, "--quiet", *start, "--contain", "--ipc", "--pid", "--cleanenv"]
    home = _home(call)
    words += ["--home", f"{home.source}:{home.target}"] if home is not None else ["--no-home"]
    for mount in call.mounts:
        if mount == home:
            continue
        if cli.modern:
            words += ["--mount", _mount(mount, "destination", "ro")]
        else:
            words += ["--bind", ":".join(_plain(cli, mount)) + ("" if mount.writable else ":ro")]
    words += ["--pwd", call.workdir or call.environment["HOME"]]  # otherwise this machine's current folder
    if not call.network:
        words += ["--net", "--network", "none"]
    elif cli.settings.network:
        words += ["--net", "--network", cli.settings.network]
    if call.gpus:
        words.append("--nv")
    words += _apptainer_privileges(cli, call)
    if cli.modern and call.cores is not None:
        words += ["--cpus", f"{call.cores:g}"]
    if cli.modern and call.ram_mib is not None:
        words += ["--memory", f"{call.ram_mib}M"]
    return [*words, image, *call.argv]


def _apptainer_privileges(cli: Cli, call: Call) -> List[str]:
    """Only root has capabilities there, and nobody gets new ones: the kernel's no_new_privs is always set.

    https://apptainer.org/docs/user/latest/security_options.html
    A limit of processes is given only if somebody set one: apptainer refuses it where no control group is delegated.
    """
    words = [] if cli.uid else ["--no-privs"]
    if call.capabilities and not cli.uid:
        words = ["--drop-caps", "all", "--add-caps", ",".join(f"CAP_{name}" for name in call.capabilities)]
    return [*words, "--pids-limit", str(call.processes)] if cli.modern and call.processes else words


def _udocker(cli: Cli, call: Call, image: str) -> List[str]:
    """It isolates neither network nor processes, and mounts nothing read-only; as with cwltool."""
    words = [cli.executable, "--quiet"]
    if not cli.uid:
        words.insert(1, "--allow-root")
    words += ["run", "--nobanner", "--rm"]
    words += [f"--workdir={call.workdir}"] if call.workdir else []
    words += ["--volume=" + ":".join(_plain(cli, mount)) for mount in call.mounts]
    words += [f"--env={name}={value}" for name, value in call.environment.items()]
    return [*words, image, *call.argv]


def _mount(mount: Mount, target: str, readonly: str) -> str:
    """One value of ``--mount``: a line of CSV, so that any character can be in a path."""
    line = io.StringIO()
    fields = ["type=bind", f"source={mount.source}", f"{target}={mount.target}"]
    csv.writer(line, lineterminator="").writerow(fields if mount.writable else [*fields, readonly])
    return line.getvalue()


def _plain(cli: Cli, mount: Mount) -> Tuple[str, str]:
    for path in (mount.source, mount.target):
        if ":" in path or "," in path:
            raise EngineError(f"{cli.kind} cannot mount {path}: there is a colon or a comma in the path.")
    return mount.source, mount.target


def _home(call: Call) -> Optional[Mount]:
    """The mount that is the tool's home: apptainer sets HOME by ``--home`` only."""
    home = call.environment.get("HOME")
    for mount in call.mounts:
        if mount.target == home and mount.writable and ":" not in mount.source + mount.target:
            return mount
    return None


def sif_name(image: str) -> str:
    """The file name of an image in apptainer's cache; cwltool's, so that both can share one."""
    if ":" not in image:
        image += ":latest"
    return image.replace("_", "___").replace("/", "_s_") + ".sif"


def qualified(image: str) -> str:
    """The full name of an image in a registry: what docker means by ``debian:12``, and podman would ask about."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"
