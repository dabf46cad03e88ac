"""Which container images are on this machine, and how large those are that would be pulled. Nothing is pulled."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from gridcwl import imports
from gridcwl.backends.views import Presence
from gridcwl.model import Image
from gridcwl.worker.engine import EngineError

__all__ = ["Presence", "compressed_size", "presences"]

_PATIENCE_S = 5
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


def presences(engine: str, images: Iterable[Image], *, ask_registry: bool = True) -> dict[str, Presence]:
    """The state of each image, by its name.

    Args:
        engine: docker, podman, apptainer, singularity or udocker.
        images: the images of a run.
        ask_registry: whether a registry is asked for the size of an image that is not here.
    """
    found: dict[str, Presence] = {}
    for image in images:
        if image.id not in found:
            here = _of_docker(image) if engine == "docker" else _of_command(engine, image)
            found[image.id] = here or _to_be_made(image, ask_registry=ask_registry)
    return found


def _of_docker(image: Image) -> Presence | None:
    imports.load("docker")
    from gridcwl.backends.local.docker_engine import DockerEngine

    engine = DockerEngine()
    try:
        known = engine.inspect(image.id)
    except EngineError as error:
        return Presence("unavailable", problem=str(error))
    finally:
        engine.close()
    return None if known is None else Presence("present", int(known.get("Size") or 0) or None)


def _of_command(engine: str, image: Image) -> Presence | None:
    if engine not in ("podman", "docker"):  # apptainer and udocker keep files by other names
        return None
    command = [engine, "image", "inspect", "--format={{.Size}}", image.id]
    try:
        inspected = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Presence("unavailable", problem=f"{engine} cannot be run: {getattr(error, 'strerror', None) or error}")
    size = inspected.stdout.strip()
    return Presence("present", int(size) if size.isdecimal() else None) if inspected.returncode == 0 else None


def _to_be_made(image: Image, *, ask_registry: bool) -> Presence:
    if image.file:
        return Presence("to be built")
    if image.pull:
        return Presence("to be pulled", compressed_size(image.pull) if ask_registry else None)
    if image.load or image.rootfs:
        return Presence("to be loaded", problem=f"from {image.load or image.rootfs}")
    return Presence("unavailable", problem="the document has no source for it")


def compressed_size(reference: str) -> int | None:
    """The bytes that a pull of an image moves, as its registry has it; None if the registry does not say.

    https://distribution.github.io/distribution/spec/api/
    """
    imports.load("requests")
    import requests

    try:
        with requests.Session() as session:
            return _size(session, *_parsed(reference))
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return None


def _parsed(reference: str) -> tuple[str, str, str]:
    """URL of the registry, repository, and tag or digest."""
    name, at, digest = reference.partition("@")
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = "registry-1.docker.io", name if slash else f"library/{name}"
    repository, colon, tag = rest.rpartition(":")
    if not colon:
        repository, tag = rest, "latest"
    scheme = "http" if re.match(r"(localhost|127\.)", first) else "https"
    return f"{scheme}://{first}/v2", repository, digest if at else tag


def _size(session: Any, registry: str, repository: str, version: str) -> int | None:
    manifest = _manifest(session, registry, repository, version)
    if manifest.get("mediaType") in _INDEXES or "manifests" in manifest:
        chosen = next(entry for entry in manifest["manifests"] if entry["platform"]["architecture"] == _architecture())
        manifest = _manifest(session, registry, repository, chosen["digest"])
    return sum(int(layer["size"]) for layer in manifest["layers"])


def _manifest(session: Any, registry: str, repository: str, version: str) -> Mapping[str, Any]:
    url, accepted = f"{registry}/{repository}/manifests/{version}", ", ".join((*_INDEXES, *_MANIFESTS))
    answer = session.get(url, headers={"Accept": accepted}, timeout=_PATIENCE_S)
    challenge = dict(re.findall(r'(\w+)="([^"]*)"', answer.headers.get("WWW-Authenticate", "")))
    if answer.status_code == 401 and challenge.get("realm", "").startswith(registry.partition("/v2")[0][:5]):
        asked = {name: challenge[name] for name in ("service", "scope") if name in challenge}
        token = session.get(f"{challenge['realm']}?{urlencode(asked)}", timeout=_PATIENCE_S).json()
        session.headers["Authorization"] = f"Bearer {token.get('token') or token['access_token']}"
        answer = session.get(url, headers={"Accept": accepted}, timeout=_PATIENCE_S)
    answer.raise_for_status()
    manifest: Mapping[str, Any] = json.loads(answer.content)
    return manifest


def _architecture() -> str:
    import platform

    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
