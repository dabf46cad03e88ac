"""What gridcwl needs around it, checked one by one: programs, engines, servers, credentials, disks, the clock."""

from __future__ import annotations

import contextlib
import http.client
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from gridcwl import __version__, imports
from gridcwl.config import Config
from gridcwl.errors import GridCWLError
from gridcwl.runs.units import amount

State = Literal["ok", "warning", "error", "unused"]

ENGINES = ("docker", "podman", "apptainer", "singularity", "udocker")
_PATIENCE_S = 10
_OLDEST_NODE = 12
_LOW_DISK, _NO_DISK = 5_000_000_000, 500_000_000
_SHORT_S = 12 * 3600
"""A credential that ends within this is worth a warning."""
_CLOCK_WARNING_S, _CLOCK_ERROR_S = 10.0, 120.0


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What one check found.

    Attributes:
        check: its name.
        state: "unused" is for what is absent and not needed by the configuration.
        text: what was found.
        remedy: what to do; empty if there is nothing to do.
    """

    check: str
    state: State
    text: str
    remedy: str = ""


def findings(config: Config) -> Iterator[HealthCheck]:
    """All checks, one by one, as they are done."""
    yield _python()
    yield _node(config)
    yield from _engines(config)
    yield from _dirac(config)
    yield from _diracx(config)
    yield from _rucio(config)
    yield _certificate()
    yield from _clocks()
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
        client = docker.from_env(timeout=_PATIENCE_S)
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


# -- the grid ----------------------------------------------------------------------------------------------------------


def _dirac(config: Config) -> Iterator[HealthCheck]:
    needed = config.backend == "dirac" and config.tables.get("dirac", {}).get("mode") != "local"
    if not imports.installed("DIRAC"):
        yield _not_installed("DIRAC", "DIRAC", needed=config.backend == "dirac")
        return
    configured = _dirac_is_configured()
    if not configured and not needed:
        yield HealthCheck("DIRAC", "unused", "installed, not configured", "To use it, run dirac-configure.")
        return
    from gridcwl.backends.dirac.client import DiracClient

    client = DiracClient(timeout_s=_PATIENCE_S)

    def answers() -> str:
        client.most_jobs()
        return "its job manager answers"

    yield _asked("DIRAC", answers)

    def proxy() -> tuple[str, datetime, str]:
        ours = client.credential()
        return f"user {ours.user}, group {ours.group}", ours.ends, ours.renewal

    yield _credential("DIRAC credential", proxy)


def _dirac_is_configured() -> bool:
    named = os.environ.get("DIRACSYSCONFIG", "").split(",")
    usual = [Path.home() / ".dirac.cfg", Path(os.environ.get("DIRAC_ROOT_PATH", sys.prefix)) / "etc" / "dirac.cfg"]
    return any(Path(name.strip()).is_file() for name in named if name.strip()) or any(map(Path.is_file, usual))


def _diracx(config: Config) -> Iterator[HealthCheck]:
    if "DIRACX_URL" not in os.environ and config.backend != "diracx":
        return
    if not imports.installed("httpx"):
        yield _not_installed("DiracX", "httpx", needed=config.backend == "diracx")
        return
    from gridcwl.backends.dirac.diracx.server import from_environment

    try:
        server = from_environment()
    except GridCWLError as error:
        yield HealthCheck("DiracX", "error", error.message, error.remedy)
        return
    with contextlib.closing(server):

        def token() -> tuple[str, datetime, str]:
            ours = server.credential()
            return f"user {ours.user}, group {ours.group}", ours.ends, ours.renewal

        yield _credential("DiracX credential", token)


def _rucio(config: Config) -> Iterator[HealthCheck]:
    needed = config.store == "rucio"
    if not imports.installed("rucio"):
        yield _not_installed("Rucio", "rucio", needed=needed)
        return
    if rucio_config() is None and not needed:
        yield HealthCheck(
            "Rucio", "unused", "installed, not configured", "To use it, let RUCIO_CONFIG name a rucio.cfg."
        )
        return
    from gridcwl.stores.rucio.client import RucioClient

    client = RucioClient(patient=False)
    try:

        def account() -> str:
            return f"account {client.call_now('whoami')['account']}"

        yield _asked("Rucio", account)
        if (ends := client.token_ends()) is not None:
            renewal = "Renew the token in rucio.cfg's auth_token_file_path, or run: rucio whoami"
            yield _credential("Rucio token", lambda: ("", datetime.fromtimestamp(ends, UTC), renewal))
    finally:
        client.close()


def rucio_config() -> Path | None:
    """The rucio.cfg that Rucio's client reads."""
    home = os.environ.get("RUCIO_HOME")
    places = [os.environ.get("RUCIO_CONFIG", "")]
    places += [f"{home}/etc/rucio.cfg"] if home else []
    places += ["/opt/rucio/etc/rucio.cfg", f"{os.environ.get('VIRTUAL_ENV', sys.prefix)}/etc/rucio.cfg"]
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


def _certificate() -> HealthCheck:
    """The proxy or certificate that Rucio's x509 login and storage elements take."""
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
    return _credential(name, lambda: (given, ends, "voms-proxy-init"))


def _not_installed(name: str, package: str, *, needed: bool) -> HealthCheck:
    error = imports.missing(package, name)
    if needed:
        return HealthCheck(name, "error", error.message, error.remedy)
    return HealthCheck(name, "unused", "not installed", f"To use it: {error.remedy}")


def _asked(name: str, ask: Callable[[], str]) -> HealthCheck:
    try:
        return HealthCheck(name, "ok", ask())
    except GridCWLError as error:
        return HealthCheck(name, "error", error.message, error.remedy)


def _credential(name: str, ask: Callable[[], tuple[str, datetime, str]]) -> HealthCheck:
    """Whose it is and how long it lasts."""
    try:
        whose, ends, renewal = ask()
    except GridCWLError as error:
        return HealthCheck(name, "error", error.message, error.remedy)
    left = (ends - datetime.now(UTC)).total_seconds()
    what = f"{whose}, " if whose else ""
    if left <= 0:
        return HealthCheck(name, "error", f"{what}ended {ends:%Y-%m-%d %H:%M} UTC", f"Renew it: {renewal}")
    hours, minutes = divmod(int(left) // 60, 60)
    text = f"{what}valid for {hours} h {minutes:02d} min"
    return (
        HealthCheck(name, "warning", text, f"Renew it: {renewal}") if left < _SHORT_S else HealthCheck(name, "ok", text)
    )


# -- clocks ------------------------------------------------------------------------------------------------------------


def _clocks() -> Iterator[HealthCheck]:
    for name, url in servers().items():
        offset = clock_offset(url)
        check = f"clock ({name})"
        if offset is None:
            yield HealthCheck(check, "warning", f"{url} reports no time", "HealthCheck the network and the URL.")
            continue
        size = abs(offset)
        text = f"{size:.0f} s {'behind' if offset > 0 else 'ahead of'} the server" if size >= 2 else "as the server's"
        state: State = "error" if size > _CLOCK_ERROR_S else "warning" if size > _CLOCK_WARNING_S else "ok"
        yield HealthCheck(check, state, text, "" if state == "ok" else "Synchronise it: timedatectl set-ntp true")


def servers() -> dict[str, str]:
    """The HTTP servers that are configured, by name."""
    found = {}
    if url := os.environ.get("DIRACX_URL"):
        found["DiracX"] = url
    path = rucio_config()
    if path is not None:
        parser = ConfigParser(interpolation=None)
        with contextlib.suppress(ConfigParserError, OSError):
            parser.read(path)
        if host := parser.get("client", "rucio_host", fallback=""):
            found["Rucio"] = host
    return found


def clock_offset(url: str) -> float | None:
    """How many seconds this clock is behind the server's; None if it does not answer. No credential is sent."""
    parts = urlsplit(url)
    if parts.hostname is None:
        return None
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE  # only the time is read
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_PATIENCE_S, context=trusting)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_PATIENCE_S)
    try:
        begun = time.time()
        connection.request("HEAD", parts.path or "/")
        date = connection.getresponse().getheader("Date")
        middle = (begun + time.time()) / 2
        return parsedate_to_datetime(date).timestamp() + 0.5 - middle if date else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _output(command: list[str]) -> str | None:
    """What a command prints first; None if it fails."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.strip().splitlines()[0] if ended.stdout.strip() else ""
