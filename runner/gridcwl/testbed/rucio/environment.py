"""Rucio's own environments: the server's, and the variables of its client's processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gridcwl.testbed.installing import environment, system_packages
from gridcwl.testbed.service import Say

VERSION = "41.5.1"
_REQUIREMENTS = (f"rucio[postgresql]=={VERSION}", f"rucio-clients=={VERSION}", "gunicorn>=25,<28")
_POLICY_PACKAGES = {
    "generic": (),
    "escape": ("escape-rucio-policy-package==0.2.2",),
    "ctao": ("ctao-bdms-rucio-policy==0.6.0",),
}
_ESCAPE_VERSIONS = 'SUPPORTED_VERSION = [ "1.28", "1.29", "1.30", "1.31", "32" "33", "34", "35"]'
# Debian's module is built for Debian's Python
_GFAL = "/usr/lib/python3/dist-packages"
_GFAL_PACKAGES = "python3-gfal2 gfal2-plugin-http gfal2-plugin-file"


def server_environment(policy: str, *, davs: bool, say: Say) -> Path:
    """The environment that the server, its daemons and ``selftest`` run in.

    Args:
        policy: the name of Rucio's policy.
        davs: whether gfal2 is wanted, which Rucio speaks davs with; https does where it is unavailable.
    """
    made = environment("rucio", [*_REQUIREMENTS, *_POLICY_PACKAGES[policy]], say=say)
    if policy == "escape":
        mend_escape_policy(made, say)
    if davs:
        link_gfal(made, say)
    return made


def mend_escape_policy(made: Path, say: Say) -> None:
    """Let ESCAPE's policy package be loaded, which is right in all but the Rucio versions that it names.

    escape_rucio_policy_package/__init__.py, 0.2.2: SUPPORTED_VERSION = [ "1.28", ... ] is no list of version
    specifiers, which is what Rucio takes it for since 37 (rucio/common/plugins.py, check_policy_module_version).
    """
    file = package_folder(made) / "escape_rucio_policy_package" / "__init__.py"
    if file.read_text().strip() == _ESCAPE_VERSIONS:
        say("rucio: ESCAPE's policy package does not say that it is good for this Rucio; it is made to accept it")
        file.write_text('SUPPORTED_VERSION = ">=28,<42"  # gridcwl testbed: it was a list of numbers\n')


def link_gfal(made: Path, say: Say) -> bool:
    """Let an environment import Debian's gfal2, if it is built for this Python; whether it can."""
    if os.geteuid() == 0 and Path("/etc/debian_version").exists() and _debian_python() == sys.version_info[:2]:
        plugin = "/usr/lib/*/gfal2-plugins/libgfal_plugin_file.so"
        system_packages({f"{_GFAL}/gfal2*.so": _GFAL_PACKAGES, plugin: _GFAL_PACKAGES}, say=say)
    tag = f"cpython-{sys.version_info.major}{sys.version_info.minor}"
    modules = list(Path(_GFAL).glob(f"gfal2*{tag}*.so"))
    for module in modules:
        link = package_folder(made) / module.name
        if not link.is_symlink():
            link.symlink_to(module)
    return bool(modules)


def package_folder(made: Path) -> Path:
    """Where an environment keeps its packages."""
    return made / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _debian_python() -> tuple[int, ...] | None:
    """The version of Debian's own Python, if it is there."""
    try:
        name = Path("/usr/bin/python3").resolve(strict=True).name
    except OSError:
        return None
    return tuple(int(part) for part in name.removeprefix("python").split("."))
