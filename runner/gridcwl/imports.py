"""Client libraries, imported by one thread at a time.

Python locks each module by itself while it is imported. Two threads that import parts of the same package for the first
time may each wait for a module that the other one has begun; Python then hands out a module that is half imported, and
``from requests.auth import HTTPBasicAuth`` fails. As DIRAC's client is loaded in the background and Rucio's runs in a
thread of its own, all of them are imported here, behind one lock, with the modules that they import when first used.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Literal, TypeAlias

from gridcwl.errors import ConfigError

Library: TypeAlias = Literal[
    "cryptography", "DIRAC", "docker", "httpx", "panoptes_client", "requests", "rich", "rucio", "rucio.rse"
]

_REQUESTS = ("requests", "requests.auth", "requests.adapters", "idna", "encodings.idna")
LIBRARIES: dict[Library, tuple[str, ...]] = {
    "cryptography": ("cryptography", "cryptography.x509", "cryptography.hazmat.primitives.serialization"),
    "DIRAC": (*_REQUESTS, "DIRAC", "DIRAC.Core.Utilities.exceptions"),
    "docker": (*_REQUESTS, "docker", "docker.context", "docker.errors", "docker.transport.unixconn", "docker.utils"),
    "httpx": ("httpx",),
    "panoptes_client": (*_REQUESTS, "panoptes_client"),
    "requests": _REQUESTS,
    "rich": ("rich.console", "rich.live", "rich.table", "rich.text"),
    "rucio": (*_REQUESTS, "rucio.client"),
    "rucio.rse": (*_REQUESTS, "rucio.rse.translation"),
}
"""By library: the modules to import, shared ones first."""

_lock = threading.RLock()
_loaded: set[Library] = set()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """No other thread imports a client library in the meantime. Do not wait for a server or another thread inside."""
    with _lock:
        yield


def load(library: Library) -> None:
    """Import a client library, unless it is there already; ``import`` statements that follow find it complete.

    Raises:
        ImportError: it is not installed, or cannot be imported.
    """
    if library in _loaded:
        return
    with _lock:
        for name in LIBRARIES[library]:
            importlib.import_module(name)
        _loaded.add(library)


def require(package: str, purpose: str, extra: str = "") -> None:
    """See that a package of an extra is installed, without importing it.

    Args:
        package: as it is imported.
        purpose: what needs it: "Rucio".
        extra: the one to install, if several have it.

    Raises:
        ConfigError: it is not; with the command that installs it.
    """
    if not installed(package):
        raise missing(package, purpose, extra)


def missing(package: str, purpose: str = "", extra: str = "") -> ConfigError:
    """The error for a package that is not installed; ``extra`` brings it, if several do."""
    extra = extra or extra_of(package)
    remedy = f"pip install 'gridcwl[{extra}]'" if extra else f"pip install {package}"
    what = f"{purpose} needs the Python package {package}" if purpose else f"This needs the Python package {package}"
    return ConfigError(f"{what}, which is not installed", remedy=remedy)


def extra_of(package: str) -> str:
    """The extra of gridcwl that brings a package, as it is imported; empty if none does or gridcwl is not installed."""
    try:
        requirements = metadata.requires("gridcwl") or []
    except metadata.PackageNotFoundError:  # a source tree on PYTHONPATH
        requirements = []
    wanted = package.partition(".")[0].lower().replace("_", "-")
    for line in requirements:
        name, _, marker = line.partition(";")
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
        distribution = re.split(r"[^\w.-]", name.strip(), maxsplit=1)[0].lower().replace("_", "-")
        if extra and (distribution == wanted or distribution.startswith(f"{wanted}-")):
            return extra[1]
    return ""


def installed(package: str) -> bool:
    """Whether a package could be imported; nothing is imported for it."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
