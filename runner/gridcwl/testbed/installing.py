"""Getting servers: Python environments by uv, programs by Debian's packages. What is there already costs nothing."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from gridcwl.config import from_environment
from gridcwl.testbed.errors import TestbedError
from gridcwl.testbed.place import locked
from gridcwl.testbed.service import Say

_ROOT_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
_DONE = ".complete"


def environments() -> Path:
    """Where the environments of all testbeds of this user are; ``GRIDCWL_TESTBED_ENVIRONMENTS`` names another place."""
    named = os.environ.get("GRIDCWL_TESTBED_ENVIRONMENTS")
    return Path(named).absolute() if named else from_environment().caches() / "testbed-environments"


def environment(name: str, requirements: Sequence[str], *, overrides: Sequence[str] = (), say: Say) -> Path:
    """A Python environment with exactly these requirements, shared by all testbeds; made if it is not there.

    Args:
        name: how its folder's name begins.
        requirements: as pip takes them.
        overrides: requirements that hold against what packages ask for.

    Raises:
        TestbedError: it cannot be made.
    """
    wanted = "\n".join([sys.version, *requirements, "#", *overrides])
    folder = environments() / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if (folder / _DONE).exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_suffix(".lock")):
        if not (folder / _DONE).exists():
            say(f"installing {', '.join(requirements)} into {folder} (a minute or so, once)")
            _make(folder, requirements, overrides)
            (folder / _DONE).write_text(wanted)
    return folder


def _make(folder: Path, requirements: Sequence[str], overrides: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    log = folder.with_suffix(".log")
    with log.open("wb") as stream:
        uv = shutil.which("uv") or _beside_this_python("uv")
        # --copies: a program that resolves sys.executable must find its way back here
        make = [sys.executable, "-m", "venv", "--copies", *(["--without-pip"] if uv else []), str(folder)]
        _run(make, stream.fileno(), log)
        python = str(folder / "bin" / "python")
        if uv is None:
            _run([python, "-m", "pip", "install", "--quiet", "uv"], stream.fileno(), log)
            uv = str(folder / "bin" / "uv")
        command = [uv, "pip", "install", "--quiet", "--python", python]
        if overrides:
            (folder / "overrides.txt").write_text("\n".join(overrides) + "\n")
            command += ["--overrides", str(folder / "overrides.txt")]
        _run([*command, *requirements], stream.fileno(), log)


def _run(command: Sequence[str], log: int, path: Path) -> None:
    from gridcwl.testbed.errors import tail

    # Certificates are this machine's, where an institute has its own authority; a Python is never fetched.
    given = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "1", "UV_NO_PROGRESS": "1"}
    given = {name: value for name, value in given.items() if name not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}}
    ended = subprocess.run(command, env=given, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    if ended.returncode:
        raise TestbedError(
            f"{' '.join(command)} failed; the end of {path}:\n{tail(path)}",
            remedy="If a package could not be reached, see to the network or to pip's configuration, and try again.",
        )


def find_program(program: str) -> str | None:
    """Where a program is, also among those for root, which an ordinary user's PATH leaves out.

    An absolute path may hold wildcards; the last of those that are there is it.
    """
    if program.startswith("/"):
        return max(glob.glob(program), default=None)  # noqa: PTH207 - Path.glob takes no absolute pattern
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{_ROOT_PATH}")


def _beside_this_python(program: str) -> str | None:
    return shutil.which(program, path=str(Path(sys.executable).parent))


def system_packages(programs: Mapping[str, str], *, say: Say) -> None:
    """Have these programs or files (absolute paths, with wildcards) from Debian's packages.

    Args:
        programs: what is needed, and the package that has it; several packages are separated by blanks.

    Raises:
        TestbedError: something is missing, and this user cannot install it, or apt-get cannot.
    """
    missing = {program: package for program, package in programs.items() if find_program(program) is None}
    if not missing:
        return
    packages = sorted({each for package in missing.values() for each in package.split()})
    what = ", ".join(missing)
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    remedy = f"Install it: sudo {' '.join(command)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise TestbedError(f"The testbed needs {what}, and only root can install it", remedy=remedy)
    say(f"installing Debian's {' '.join(packages)} for {what}")
    with locked(Path("/var/lock/gridcwl-testbed-apt")):
        ended = _apt(command)
        # The package lists may be absent or old: look again only when the first try fails.
        if ended.returncode:
            _apt(["apt-get", "update"])
            ended = _apt(command)
    if ended.returncode:
        tail = "\n".join(re.split(r"\r?\n", ended.stdout.strip())[-15:])
        raise TestbedError(f"apt-get could not install {' '.join(packages)}:\n{tail}", remedy=remedy)
    if still := [program for program in missing if find_program(program) is None]:
        raise TestbedError(f"Debian's {' '.join(packages)} did not bring {', '.join(still)}", remedy=remedy)


def _apt(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # RUNLEVEL=1: a server's package would start it for the whole machine, and we start our own
    given = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    return subprocess.run(
        [command[0], "-q", "-o", "DPkg::Lock::Timeout=600", *command[1:]],
        env=given,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def main(services: str) -> None:
    """Install what these services need, with commas between them; start nothing: for images, ahead of ``up``."""
    from gridcwl.testbed.service import InstallOptions
    from gridcwl.testbed.testbed import Testbed

    with tempfile.TemporaryDirectory() as folder:
        for service in Testbed(Path(folder), InstallOptions(tuple(services.split(",")))).services():
            service.install(print)


if __name__ == "__main__":
    main(sys.argv[1])
