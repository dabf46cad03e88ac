"""What gridcwl needs around it, checked one by one: programs, engines, servers, credentials, disks, the clock."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gridcwl import __version__, imports, plugins
from gridcwl.backends.base import BackendPlugin
from gridcwl.config import Config
from gridcwl.errors import GridCWLError
from gridcwl.health import PATIENCE_S, HealthCheck, State, credential
from gridcwl.runs.units import amount
from gridcwl.stores.base import StorePlugin

ENGINES = ("docker", "podman", "apptainer", "singularity", "udocker")
_OLDEST_NODE = 12
_LOW_DISK, _NO_DISK = 5_000_000_000, 500_000_000


def findings(config: Config) -> Iterator[HealthCheck]:
    """All checks, one by one, as they are done."""
    yield _python()
    yield _node(config)
    yield from _engines(config)
    for chosen, known in ((config.backend, plugins.backends()), (config.store, plugins.stores())):
        for plugin in known.values():
            if plugin.name != "local":  # it needs nothing
                yield from _plugin(plugin, config, needed=plugin.name == chosen)
    yield _certificate()
    yield from _folders(config)


# -- this machine ------------------------------------------------------------------------------------------------------


def _python() -> HealthCheck:
    return HealthCheck("python", "ok", f"Python {platform.python_version()}, gridcwl {__version__}")


def _node(config: Config) -> HealthCheck:
    if config.javascript is False:
        return HealthCheck("node", "unused", "not needed: JavaScript is disabled")
    path = shutil.which("node") or shutil.which("nodejs")
    if path is None:
        return HealthCheck(
            "node", "warning", "not found: documents with JavaScript cannot run", "Install nodejs (apt install nodejs)."
        )
    printed = _output([path, "--version"])
    version = re.match(r"v(\d+)", printed or "")
    if printed is None or version is None:
        return HealthCheck("node", "error", f"{path} does not run", "Reinstall nodejs.")
    if int(version[1]) < _OLDEST_NODE:
        return HealthCheck("node", "warning", f"node {printed} is old", f"Install node {_OLDEST_NODE} or newer.")
    return HealthCheck("node", "ok", f"node {printed}")


def _engines(config: Config) -> Iterator[HealthCheck]:
    chosen = config.engine or "docker"
    others: list[str] = []
    for engine in ENGINES:
        needed = engine == chosen or (chosen == "singularity" and engine == "apptainer")
        finding = _docker(needed=needed) if engine == "docker" else _engine(engine, needed=needed)
        if finding.state == "unused":
            others.append(engine)
            continue
        yield finding
    if others:
        yield HealthCheck("other engines", "unused", f"not installed, and not needed: {', '.join(others)}")


def _docker(*, needed: bool) -> HealthCheck:
    bad: State = "error" if needed else "unused"
    imports.load("docker")
    import docker

    try:
        client = docker.from_env(timeout=PATIENCE_S)
        with contextlib.closing(client):
            version = client.version()
    except (docker.errors.DockerException, OSError) as error:
        if "permission denied" in str(error).lower():
            return HealthCheck(
                "docker", bad, "its socket may not be used", "Add yourself to the group docker, log in again."
            )
        installed = shutil.which("docker") is not None
        remedy = "Start it (systemctl start docker)" if installed else "Install docker"
        return HealthCheck(
            "docker", bad, "no engine answers", f"{remedy}, or use --podman, --singularity or --no-container."
        )
    return HealthCheck("docker", "ok", f"docker {version.get('Version', '')}".strip())


def _engine(name: str, *, needed: bool) -> HealthCheck:
    path = shutil.which(name)
    if path is None:
        if name == "apptainer" and shutil.which("singularity"):
            return HealthCheck(name, "unused", "not installed")
        bad: State = "error" if needed else "unused"
        return HealthCheck(name, bad, "not installed", f"Install {name}, or choose another engine." if needed else "")
    printed = _output([path, "--version"])
    if printed is None:
        return HealthCheck(
            name, "error" if needed else "warning", f"{path} does not run", f"Run {name} info to see why."
        )
    if name == "podman" and _output([path, "info", "--format", "{{.Host.OS}}"]) is None:
        return HealthCheck(
            name, "error" if needed else "warning", f"{printed} cannot run containers", "Run: podman info"
        )
    return HealthCheck(name, "ok", printed)


def _folders(config: Config) -> Iterator[HealthCheck]:
    prefix = config.tmpdir_prefix or os.path.join(os.environ.get("TMPDIR", "/tmp"), "x")  # noqa: PTH118, S108
    for name, folder, option in (
        ("state folder", config.state(), "--state-dir"),
        ("cache folder", config.caches(), "--cachedir"),
        ("working folder", Path(prefix).parent, "--tmpdir-prefix"),
        ("current folder", Path.cwd(), "--outdir"),
    ):
        yield _folder(name, folder.absolute(), option)


def _folder(name: str, folder: Path, option: str) -> HealthCheck:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    remedy = f"Free some space, or choose another folder with {option}."
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
        free = shutil.disk_usage(there).free
    except OSError as error:
        return HealthCheck(
            name, "error", f"{there} cannot be written: {error.strerror}", f"Choose another with {option}."
        )
    text = f"{folder}, {amount(free)} free"
    if free < _NO_DISK:
        return HealthCheck(name, "error", text, remedy)
    return HealthCheck(name, "warning", text, remedy) if free < _LOW_DISK else HealthCheck(name, "ok", text)


# -- plugins and credentials -------------------------------------------------------------------------------------------


def _plugin(plugin: BackendPlugin | StorePlugin, config: Config, *, needed: bool) -> Iterator[HealthCheck]:
    """What a backend or a store needs: its packages, and what it checks itself."""
    title = plugin.title or plugin.name
    missing = next((package for package in plugin.packages if not imports.installed(package)), "")
    if missing:
        error = imports.missing(missing, title)
        remedy = plugin.install or error.remedy
        if needed:
            yield HealthCheck(title, "error", error.message, remedy)
        else:
            yield HealthCheck(title, "unused", "not installed", f"To use it: {remedy}")
        return
    if "health" not in plugin.hooks:
        yield HealthCheck(title, "ok", "installed")
        return
    try:
        yield from plugins.call(plugin, "health", plugins.configured(plugin, config), needed)
    except GridCWLError as error:
        yield HealthCheck(title, "error", error.message, error.remedy)
    except Exception as error:  # noqa: BLE001  a mistake in a plugin must not stop the other checks
        yield HealthCheck(title, "error", f"could not be checked: {error}", "Report this to its authors.")


def _certificate() -> HealthCheck:
    """The X.509 proxy or certificate that logins of the grid and storage elements accept."""
    name = "X.509 proxy"
    given = os.environ.get("X509_USER_PROXY") or f"/tmp/x509up_u{os.getuid()}"  # noqa: S108
    if not Path(given).is_file():
        if "X509_USER_PROXY" in os.environ:
            return HealthCheck(name, "error", f"X509_USER_PROXY names {given}, which does not exist", "voms-proxy-init")
        return HealthCheck(name, "unused", "none")
    printed = _output(["openssl", "x509", "-noout", "-enddate", "-in", given])
    try:
        ends = datetime.strptime((printed or "").partition("=")[2], "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
    except ValueError:
        return HealthCheck(name, "warning", f"{given} cannot be read", "Make a new one: voms-proxy-init")
    return credential(name, lambda: (given, ends, "voms-proxy-init"))


def _output(command: list[str]) -> str | None:
    """What a command prints first; None if it fails."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.strip().splitlines()[0] if ended.stdout.strip() else ""
