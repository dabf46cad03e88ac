"""How a tool's image comes to the Docker engine: looked for, pulled, loaded, imported or built."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound, NotFound
from docker.utils import parse_repository_tag

from gridcwl.worker.engine import EngineError
from gridcwl.worker.image_source import DOCKERFILE_LABEL, digest_of, open_archive
from gridcwl.worker.once import Once

log = logging.getLogger("gridcwl.images")


class Images:
    """The images of one engine."""

    def __init__(self, api: docker.APIClient) -> None:
        """``api`` must have no time limit: a pull may be silent for long."""
        self._api: Any = api  # half of its image calls are untyped
        self._known = Once()
        self._digests: dict[str, str] = {}

    def prepare(self, image: Mapping[str, Any], pull: str = "missing") -> str:
        """The id of the image, which is there afterwards; looked for and made once per image.

        Args:
            image: the fields of DockerRequirement.
            pull: whether to make it if it is ``missing``, ``always`` or ``never``.

        Raises:
            EngineError: it is unavailable; with the engine's own message.
        """
        return self._known.get(json.dumps(dict(image), sort_keys=True), lambda: self._prepare(image, pull))

    def digest(self, prepared: str) -> str:
        """What the image of this id is called by its registry, ``debian@sha256:...``; the id if it has none."""
        return self._digests.get(prepared, prepared)

    def _prepare(self, image: Mapping[str, Any], pull: str) -> str:
        name = image.get("id") or image.get("pull") or ""
        found = self.look(name)
        if found is not None and pull != "always" and not _outdated(found, image.get("file")):
            return self._noted(found)
        if pull == "never":
            raise EngineError(f"The image {name} is not on this machine, and --disable-pull forbids to get it.")
        try:
            made = self._make(image, name)
        except ImageNotFound as error:
            raise EngineError(f"The image {name} is not there: {_words(error)}.") from error
        except (APIError, BuildError) as error:
            raise EngineError(f"The image {name} could not be fetched: {_words(error)}.") from error
        found = self.look(name or made)
        if found is None:
            raise EngineError(f"The image {name} is not there, and its archive holds {made or 'none'} instead.")
        return self._noted(found)

    def _noted(self, found: Mapping[str, Any]) -> str:
        identifier = str(found["Id"])
        self._digests[identifier] = next(iter(found.get("RepoDigests") or ()), identifier)
        return identifier

    def look(self, name: str) -> Mapping[str, Any] | None:
        """What the engine knows of an image; None if it is not there."""
        if not name:
            return None
        try:
            found: Mapping[str, Any] = self._api.inspect_image(name)
        except NotFound:
            return None
        except APIError as error:
            raise EngineError(f"Docker cannot look for the image {name}: {_words(error)}.") from error
        return found

    def _make(self, image: Mapping[str, Any], name: str) -> str:
        """Do what the document says; the answer is what came of it, where only the engine knows."""
        if image.get("file"):
            return self._build(image["file"], name)
        if image.get("pull"):
            return self._pull(image["pull"], name)
        if image.get("load"):
            return self._load(image["load"])
        if image.get("rootfs"):
            return self._import(image["rootfs"], name)
        raise EngineError(f"The image {name} is not on this machine, and the document has no source for it.")

    def _pull(self, source: str, name: str) -> str:
        log.info("pulling %s", source)
        _follow(source, self._api.pull(source, stream=True, decode=True))
        if name not in {"", source}:
            self._tag(source, name)
        return source

    def _load(self, location: str) -> str:
        log.info("loading %s", location)
        with open_archive(location) as archive:
            lines = _follow(location, self._api.load_image(archive))
        names = [line.split(": ", 1)[1].strip() for line in lines if line.startswith("Loaded image")]
        return names[0] if len(names) == 1 else ", ".join(names)

    def _import(self, location: str, name: str) -> str:
        log.info("importing %s as %s", location, name)
        repository, tag = parse_repository_tag(name)
        with open_archive(location) as archive:
            # As an iterator: for a file requests would send a length, where the SDK has announced chunks.
            chunks = iter(lambda: archive.read(1 << 20), b"")
            answer = self._api.import_image_from_stream(chunks, repository=repository, tag=tag or "latest")
        lines = _follow(location, [json.loads(line) for line in answer.splitlines()])
        return lines[-1] if lines else ""

    def _build(self, dockerfile: str, name: str) -> str:
        log.info("building %s", name)
        context = io.BytesIO(dockerfile.encode())  # nothing else: CWL gives a Dockerfile no files to copy
        built = self._api.build(
            fileobj=context,
            tag=name or None,
            rm=True,
            forcerm=True,
            decode=True,
            labels={DOCKERFILE_LABEL: digest_of(dockerfile)},
        )
        lines = _follow(name, built)
        return lines[-1].rpartition(" ")[2] if lines else ""

    def _tag(self, source: str, name: str) -> None:
        repository, tag = parse_repository_tag(name)
        self._api.tag(source, repository, tag)


def _outdated(found: Mapping[str, Any], dockerfile: str | None) -> bool:
    """Whether the image was built here, from another text. One that bears no digest was put there on purpose."""
    if not dockerfile:
        return False
    labels = (found.get("Config") or {}).get("Labels") or {}
    digest = digest_of(dockerfile)
    return bool(labels.get(DOCKERFILE_LABEL, digest) != digest)


def _follow(what: str, messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """Read the engine's answer to the end, line by line.

    Raises:
        EngineError: it reports a failure, which may come in the middle of an answer that began with success.
    """
    lines: list[str] = []
    for message in messages:
        if "error" in message:
            # the last output of a command of a Dockerfile, after the message of the builder
            output = [line for line in lines if not line.startswith(("Removing intermediate", "--->", "Step "))]
            last = f" (after: {output[-1]})" if output else ""
            raise EngineError(f"The image {what} could not be fetched: {_flat(message['error'])}{last}.")
        text = _flat(str(message.get("stream") or message.get("status") or ""))
        if text:
            lines.append(text)
            log.debug("%s: %s", what, text)
    return lines


def _words(error: DockerException) -> str:
    return _flat(str(getattr(error, "explanation", None) or error))


def _flat(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
