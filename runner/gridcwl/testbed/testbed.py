"""A testbed as a whole: its services by name, brought up in order and taken down in reverse."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gridcwl.errors import ConfigError
from gridcwl.testbed.pki import Authority
from gridcwl.testbed.place import InstallFolder, default_root
from gridcwl.testbed.processes import StartedProcesses
from gridcwl.testbed.service import InstallOptions, Say, ServerGroup, Status

# name -> the class, imported when it is wanted; in the order in which they come up
_SERVICES = {
    "oidc": "gridcwl.testbed.oidc.service:OidcService",
    "xrootd": "gridcwl.testbed.xrootd:XrootdService",
    "rucio": "gridcwl.testbed.rucio.service:RucioService",
    "dirac": "gridcwl.testbed.dirac.service:DiracService",
    "diracx": "gridcwl.testbed.dirac.diracx:DiracXService",
}
SERVICES = tuple(_SERVICES)

# one that makes no sense without another brings it along
_NEEDS = {"diracx": ("dirac",)}
_OPTIONS = "testbed.json"


@runtime_checkable
class Seedable(Protocol):
    """A service with contents that can be put in place again."""

    def seed(self, say: Say) -> None:
        """Accounts, scopes, storage elements, sites: what is missing is made."""


class Testbed:
    """The servers of one folder."""

    __test__ = False  # pytest: this is not a test

    def __init__(self, root: Path | None = None, options: InstallOptions | None = None) -> None:
        """A testbed that is there, or is to be.

        Args:
            root: its folder; the user's own testbed by default.
            options: what it is to be; what it was last time by default.
        """
        self.place = InstallFolder(root or default_root())
        self.processes = StartedProcesses(self.place)
        self.options = options or _kept(self.place.root) or InstallOptions()
        self._made: dict[str, ServerGroup] = {}
        self._authority: Authority | None = None

    @property
    def exists(self) -> bool:
        """It was brought up before, and not wiped."""
        return (self.place.root / _OPTIONS).exists()

    @property
    def authority(self) -> Authority:
        """Its certificate authority."""
        if self._authority is None:
            self._authority = Authority(self.place, self.options.certificate_lifetime)
        return self._authority

    def service(self, name: str) -> ServerGroup:
        """The service of this name.

        Raises:
            ConfigError: there is none.
        """
        if name not in _SERVICES:
            raise ConfigError(f"The testbed has no service {name!r}", remedy=f"It knows {', '.join(SERVICES)}.")
        if name not in self._made:
            module, _, kind = _SERVICES[name].partition(":")
            make = getattr(import_module(module), kind)
            self._made[name] = make(self.place, self.processes, self.authority, self.options)
        return self._made[name]

    def services(self) -> Iterator[ServerGroup]:
        """Those that this testbed has, in the order in which they come up."""
        wanted = self._wanted()
        return (self.service(name) for name in _SERVICES if name in wanted)

    def _wanted(self) -> set[str]:
        """The names of the services; raises as :meth:`service`."""
        wanted = {*self.options.services, *(need for each in self.options.services for need in _NEEDS.get(each, ()))}
        if unknown := wanted - set(_SERVICES):
            self.service(min(unknown))
        return wanted

    def up(self, say: Say) -> None:
        """Install what is missing, start what does not answer, mend what is half dead.

        Raises:
            TestbedError: a server cannot be installed or does not come up.
        """
        self._wanted()
        with self.place.lock("testbed"):
            self._keep()
            for name, port in self.options.ports.items():
                self.place.configure_port(name, port)
            services = list(self.services())
            for service in services:
                service.install(say)
            for service in services:
                service.up(say)

    def ensure(self, names: Iterable[str], say: Say) -> None:
        """Have these services up, beside those that this testbed has; several processes may ask at once.

        Raises:
            TestbedError: a server cannot be installed or does not come up.
        """
        with self.place.lock("ensure"):
            known = _kept(self.place.root) or replace(self.options, services=())
            self._take(replace(known, services=tuple(dict.fromkeys([*known.services, *names]))))
            self.up(say)

    def _take(self, options: InstallOptions) -> None:
        if options != self.options:
            self.options = options
            self._made.clear()

    def seed(self, say: Say) -> None:
        """Put missing contents in place again; the servers have to be up."""
        with self.place.lock("testbed"):
            for service in self.services():
                if isinstance(service, Seedable):
                    service.seed(say)

    def status(self) -> list[Status]:
        """How every server stands."""
        return [status for service in self.services() for status in service.status()]

    def exports(self) -> dict[str, str]:
        """The environment of a shell that is to use this testbed."""
        merged = {"X509_CERT_DIR": str(self.authority.ca_dir)}
        for service in self.services():
            merged.update(service.exports())
        return merged

    def environment(self) -> dict[str, str]:
        """This process's environment with :meth:`exports` over it."""
        return {**os.environ, **self.exports()}

    def logs(self) -> list[str]:
        """The names of the logs that there are."""
        return sorted(path.stem for path in (self.place.root / "log").glob("*.log"))

    def down(self, say: Say, *, wipe: bool = False) -> None:
        """Stop everything that this testbed started; with ``wipe``, remove its folder, too.

        Raises:
            TestbedError: a process cannot be ended.
        """
        if not self.place.root.exists():
            return
        with self.place.lock("testbed"):
            for service in reversed(list(self.services())):
                if any(status.state != "down" for status in service.status()):
                    say(f"{service.name}: stopping")
                    service.down()
            for name in self.processes.names():
                say(f"{name}: stopping")
                self.processes.stop(name)
            self.processes.stop_orphans()
        if wipe:
            if not self.exists and any(self.place.root.glob("*/*")):
                _refuse_to_wipe(self.place.root)
            say(f"removing {self.place.root}")
            shutil.rmtree(self.place.root)

    def _keep(self) -> None:
        path = self.place.folder() / _OPTIONS
        written = path.with_suffix(".new")
        written.write_text(json.dumps(asdict(self.options), default=timedelta.total_seconds, indent=1) + "\n")
        written.replace(path)


def _refuse_to_wipe(root: Path) -> None:
    raise ConfigError(f"{root} is not removed: it does not look like a testbed", remedy="Remove it yourself.")


def _kept(root: Path) -> InstallOptions | None:
    try:
        found: Mapping[str, Any] = json.loads((root / _OPTIONS).read_text())
    except FileNotFoundError:
        return None
    lifetimes = {name: timedelta(seconds=value) for name, value in found.items() if name.endswith("_lifetime")}
    return InstallOptions(**{**found, "services": tuple(found["services"]), **lifetimes})
