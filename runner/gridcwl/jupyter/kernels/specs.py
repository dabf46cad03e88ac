"""Kernelspecs of kernels as jobs: what JupyterLab's launcher shows."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import msgspec
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from gridcwl.errors import ConfigError
from gridcwl.jupyter.kernels.model import KernelRequest

PROVISIONER = "gridcwl-provisioner"
_FOREIGN = re.compile(r"[^a-z0-9._]+")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?\Z")


class Spec(NamedTuple):
    """A kernelspec of ours."""

    name: str
    title: str
    folder: str
    request: KernelRequest


def title_of(request: KernelRequest) -> str:
    """What the launcher shows, if nothing else is wanted: ``ctapipe 0.32.0 @ LCG.Lyon.fr``."""
    place = request.site or ("this machine" if request.backend == "local" else request.backend.upper())
    image, _, tag = request.image.partition("@")[0].rpartition("/")[2].partition(":")
    return f"{image or 'Python'}{' ' + tag if tag else ''} @ {place}"


def name_of(title: str) -> str:
    """The kernelspec's name, if none is wanted."""
    return _FOREIGN.sub("-", title.lower()).strip("-._") or "gridcwl"


def add(name: str, title: str, request: KernelRequest, prefix: str | None) -> str:
    """Install a kernelspec; one of ours with the same name is replaced. Returns its folder.

    Args:
        name: of the kernelspec.
        title: what the launcher shows.
        request: where the kernel runs.
        prefix: of the environment that it is installed in; None: for the user.

    Raises:
        ConfigError: the name cannot be used, or is another kernel's; or the folder cannot be written.
    """
    if not _NAME.match(name):
        raise ConfigError(f"{name!r} cannot be a kernel's name", remedy="Use letters, digits, and . _ - in between.")
    manager = KernelSpecManager()
    try:
        spec = manager.get_kernel_spec(name)
    except NoSuchKernel:
        pass
    else:
        if _request_in(spec.metadata) is None:
            raise ConfigError(f"There is a kernel {name}, which is not gridcwl's", remedy="Choose another name.")
    about = {
        "argv": ["python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": title,
        "language": "python",
        "interrupt_mode": "message",
        "metadata": {
            "debugger": True,
            "kernel_provisioner": {
                "provisioner_name": PROVISIONER,
                "config": {"settings": msgspec.to_builtins(request)},
            },
        },
    }
    with tempfile.TemporaryDirectory(prefix="gridcwl-kernelspec-") as folder:
        (Path(folder) / "kernel.json").write_text(json.dumps(about, indent=1), "utf-8")
        icon = resources.files("gridcwl.service").joinpath("static", "icon.svg")
        (Path(folder) / "logo-svg.svg").write_bytes(icon.read_bytes())
        try:
            made: str = manager.install_kernel_spec(folder, name, user=prefix is None, prefix=prefix)
        except OSError as error:
            raise ConfigError(f"The kernelspec cannot be written to {error.filename}: {error.strerror}") from None
    return made


def specs() -> Iterator[Spec]:
    """All kernelspecs of ours that Jupyter finds."""
    for name, found in sorted(KernelSpecManager().get_all_specs().items()):
        request = _request_in(found["spec"].get("metadata", {}))
        if request is not None:
            yield Spec(name, found["spec"]["display_name"], found["resource_dir"], request)


def remove(name: str) -> None:
    """Remove a kernelspec of ours.

    Raises:
        ConfigError: there is none of this name, or its folder cannot be removed.
    """
    for spec in specs():
        if spec.name == name:
            try:
                shutil.rmtree(spec.folder)
            except OSError as error:
                raise ConfigError(f"{spec.folder} cannot be removed: {error.strerror}") from None
            return
    raise ConfigError(f"There is no kernel {name} of gridcwl's", remedy="gridcwl kernel ls lists them.")


def _request_in(metadata: object) -> KernelRequest | None:
    try:
        about = metadata["kernel_provisioner"]  # type: ignore[index]
        if about["provisioner_name"] != PROVISIONER:
            return None
        return msgspec.convert(about["config"]["settings"], KernelRequest)
    except (KeyError, TypeError, msgspec.ValidationError):
        return None
