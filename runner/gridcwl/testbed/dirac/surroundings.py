"""What the processes of the testbed's DIRAC see: folders, environment variables, and how its programs are started."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import gridcwl
from gridcwl.testbed.errors import TestbedError
from gridcwl.testbed.pki import Authority
from gridcwl.testbed.place import InstallFolder

# whatever speaks of another grid, another Python or another user's tokens
_NOT_INHERITED = ("X509_", "DIRAC", "RUCIO_", "BEARER_TOKEN", "PYTHON", "VIRTUAL_ENV", "COVERAGE", "COV_CORE")


class Surroundings:
    """Where things are for one testbed's DIRAC."""

    def __init__(self, place: InstallFolder, authority: Authority) -> None:
        self._place = place
        self._authority = authority
        self.environment: Path | None = None
        """DIRAC's Python environment, once it is installed."""

    @property
    def root(self) -> Path:
        """Where the servers write: DIRAC's root path for them."""
        return self._place.folder("dirac", "server")

    @property
    def server_settings(self) -> Path:
        """The configuration of services, with passwords."""
        return self.root / "server.cfg"

    @property
    def client_settings(self) -> Path:
        """The configuration of a user's client."""
        return self._place.folder("dirac", "client") / "dirac.cfg"

    @property
    def python(self) -> Path:
        """The interpreter of DIRAC's environment."""
        if self.environment is None:
            raise TestbedError("The testbed's DIRAC is not installed", remedy="Bring it up: gridcwl testbed up.")
        return self.environment / "bin" / "python"

    @property
    def package(self) -> Path:
        """The installed package DIRAC."""
        return next((self.python.parent.parent / "lib").glob("python3*/site-packages/DIRAC"))

    @property
    def library(self) -> Path:
        """A folder with gridcwl in it and nothing else, for DIRAC's Python to import from."""
        folder = self._place.folder("dirac", "library")
        link, package = folder / "gridcwl", Path(gridcwl.__file__).parent
        if not link.is_symlink() or link.readlink() != package:
            link.unlink(missing_ok=True)
            link.symlink_to(package)
        return folder

    def module(self, name: str, *arguments: str) -> list[str]:
        """The command line of a module of ``inside``."""
        return [str(self.python), "-m", f"gridcwl.testbed.dirac.inside.{name}", *arguments]

    def launch(self, arguments: Sequence[str]) -> list[str]:
        """The command line of a service, an agent or an executor."""
        return self.module("launch", *arguments)

    def of_server(self) -> dict[str, str]:
        """The environment of a service."""
        return self._inherited() | {
            "DIRAC_ROOT_PATH": str(self.root),
            "DIRACSYSCONFIG": str(self.server_settings),
            "HOME": str(self._place.folder("dirac", "home")),
            "PYTHONPATH": str(self.library),
        }

    def of_pilot(self, folder: Path, settings: Path, proxy: Path) -> dict[str, str]:
        """The environment of a pilot, and so of payloads: PATH is this process's, with its container engines."""
        return self._inherited() | {
            "DIRAC_ROOT_PATH": str(folder),
            "DIRACSYSCONFIG": str(settings),
            "HOME": str(folder),
            "X509_USER_PROXY": str(proxy),
            "PYTHONPATH": str(self.library),
        }

    def of_client(self, proxy: Path) -> dict[str, str]:
        """What a user's shell has to export."""
        return {
            "DIRAC_ROOT_PATH": str(self.client_settings.parent),
            "DIRACSYSCONFIG": str(self.client_settings),
            "X509_CERT_DIR": str(self._authority.ca_dir),
            "X509_USER_PROXY": str(proxy),
        }

    def _inherited(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        path = f"{self.python.parent}:{kept.get('PATH', os.defpath)}"
        return kept | {"PATH": path, "TZ": "UTC", "X509_CERT_DIR": str(self._authority.ca_dir)}


def write(path: Path, text: str) -> Path:
    """Put a text in place whole, for its owner alone; untouched if it is the same."""
    if path.exists() and path.read_text() == text:
        return path
    written = path.with_name(path.name + ".new")
    written.touch(mode=0o600)
    written.write_text(text)
    written.replace(path)
    return path
