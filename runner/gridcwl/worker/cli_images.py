"""How command-line engines get an image, as plain data: which commands, and what is fed to them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, List, Mapping, Optional, Tuple

from gridcwl.worker.cli_vectors import Cli, qualified
from gridcwl.worker.engine import EngineError
from gridcwl.worker.image_source import DOCKERFILE_LABEL, digest_of, local_path
from gridcwl.worker.paths import climbs


@dataclasses.dataclass(frozen=True)
class Preparation:
    """One command towards an image."""

    doing: str
    """For the log: "pulling debian:12"."""
    argv: Tuple[str, ...]
    archive: Optional[str] = None
    """A path or URL whose bytes go to the command's stdin."""
    text: Optional[str] = None
    """Goes to the command's stdin."""


def refuse_words(image: Mapping[str, Any]) -> None:
    """Refuse names that an engine's command would read as an option, or that climb out of a folder of images.

    Raises:
        EngineError: with the name.
    """
    for field in ("id", "pull", "load", "rootfs"):
        text = image.get(field) or ""
        if text.startswith("-"):
            raise EngineError(f"An image cannot be called {ascii(text)}: a name does not begin with a hyphen.")
        if field in ("id", "pull") and (climbs(text.lstrip("/")) or text and not text.strip("/")):
            raise EngineError(f"An image cannot be called {ascii(text)}: it would be any folder.")


def look_vector(cli: Cli, image: str) -> List[str]:
    """The command that succeeds if the image is there; docker's and podman's print what ``found`` reads."""
    if cli.kind == "udocker":
        return [*_udocker(cli), "inspect", image]
    return [cli.executable, "image", "inspect", "--format={{.Id}} {{json .Config.Labels}}", image]


def digest_vector(cli: Cli, image: str) -> List[str]:
    """The command that prints what ``digest_in`` reads; of docker or podman."""
    return [cli.executable, "image", "inspect", "--format={{json .RepoDigests}}", image]


def digest_in(printed: str, image: str) -> str:
    """The digest that a registry knows the image by; the image's own id if none does."""
    try:
        known = json.loads(printed)
    except ValueError:
        known = None
    return str(known[0]) if isinstance(known, list) and known else image


def found(printed: str, dockerfile: Optional[str]) -> Optional[str]:
    """The id in what ``look_vector`` printed, or None if the image was built here from another Dockerfile.

    One that bears no digest was put there on purpose.
    """
    identifier, _, labels = printed.strip().partition(" ")
    if not dockerfile:
        return identifier
    digest = digest_of(dockerfile)
    return identifier if (json.loads(labels or "null") or {}).get(DOCKERFILE_LABEL, digest) == digest else None


def prepare_vectors(cli: Cli, image: Mapping[str, Any], name: str, destination: str = "") -> List[Preparation]:
    """The commands that make the image ``name``; apptainer's make the file ``destination``.

    Raises:
        EngineError: the document does not say how, or this engine cannot do it.
    """
    if cli.daemonlike:
        return _docker_steps(cli, image, name)
    if cli.kind == "udocker":
        return _udocker_steps(cli, image, name)
    return _apptainer_steps(cli, image, name, destination)


def _docker_steps(cli: Cli, image: Mapping[str, Any], name: str) -> List[Preparation]:
    program = cli.executable
    if image.get("file"):
        build = [program, "build", f"--tag={name}", f"--label={DOCKERFILE_LABEL}={digest_of(image['file'])}"]
        # docker's older builder would keep the container of a command that failed; OCI's format has no place for SHELL
        build.append("--format=docker" if cli.kind == "podman" else "--force-rm")
        return [Preparation(f"building {name}", (*build, "-"), text=image["file"])]
    if image.get("pull"):
        source = qualified(image["pull"]) if cli.kind == "podman" else image["pull"]
        steps = [Preparation(f"pulling {source}", (program, "pull", source))]
        if name != image["pull"]:
            steps.append(Preparation(f"naming it {name}", (program, "tag", source, name)))
        return steps
    if image.get("load"):
        return [Preparation(f"loading {image['load']}", (program, "load"), archive=image["load"])]
    if image.get("rootfs"):
        return [Preparation(f"importing {image['rootfs']}", (program, "import", "-", name), archive=image["rootfs"])]
    raise _nowhere(name)


def _apptainer_steps(cli: Cli, image: Mapping[str, Any], name: str, destination: str) -> List[Preparation]:
    program = cli.executable
    if image.get("pull"):
        source = image["pull"] if "://" in image["pull"] else f"docker://{image['pull']}"
        return [Preparation(f"pulling {source}", (program, "--quiet", "pull", "--force", destination, source))]
    if image.get("load"):
        source = f"docker-archive:{_here(cli, image['load'])}"
        return [
            Preparation(f"converting {image['load']}", (program, "--quiet", "build", "--force", destination, source))
        ]
    if image.get("rootfs") or image.get("file"):
        field = "dockerImport" if image.get("rootfs") else "dockerFile"
        raise EngineError(
            f"{cli.kind} cannot make the image {name} by {field}; "
            "build it with docker or podman, and give it by dockerPull or dockerLoad."
        )
    raise _nowhere(name)


def _udocker_steps(cli: Cli, image: Mapping[str, Any], name: str) -> List[Preparation]:
    if image.get("pull"):
        return [Preparation(f"pulling {image['pull']}", (*_udocker(cli), "pull", image["pull"]))]
    if image.get("load"):
        path = _here(cli, image["load"])
        return [Preparation(f"loading {image['load']}", (*_udocker(cli), "load", "-i", path))]
    if image.get("rootfs"):
        path = _here(cli, image["rootfs"])
        return [Preparation(f"importing {image['rootfs']}", (*_udocker(cli), "import", path, name))]
    if image.get("file"):
        raise EngineError(f"udocker cannot build the image {name} from a Dockerfile; build it with docker or podman.")
    raise _nowhere(name)


def _udocker(cli: Cli) -> Tuple[str, ...]:
    return (cli.executable,) if cli.uid else (cli.executable, "--allow-root")


def _here(cli: Cli, location: str) -> str:
    path = local_path(location)
    if path is None:
        raise EngineError(f"{cli.kind} takes an image's archive from this machine only; download {location} first.")
    return path


def _nowhere(name: str) -> EngineError:
    return EngineError(f"The image {name} is not on this machine, and the document has no source for it.")
