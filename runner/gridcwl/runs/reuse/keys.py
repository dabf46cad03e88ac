"""Job keys: a description of each job and the digest of it. Jobs with equal keys can reuse each other's results.

Part of it: image, command, environment, inputs by their contents, the streams, what is kept, and those resources that
a tool can see. Not part of it: ids, real directories, time and memory limits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from gridcwl.model import Job, StagedFile
from gridcwl.worker.failure import crossed_out

_FORMAT = 1
"""Goes up when the meaning of a key changes: then no earlier result is taken for the same."""

_REMEMBERED = 64
"""Common parts of jobs that are kept."""

Masks = Mapping[str, str]
"""Stand-ins of secrets, new in every session, to words that stay the same and give nothing away."""

Identity = Mapping[str, str]
"""URLs of staged originals to what says which bytes they have: ``sha1$...``."""


@dataclass(frozen=True, slots=True)
class JobDescription:
    """What a job is. Split, because the shards of a step have most of it in common."""

    common: bytes
    """JSON: image, environment, what is kept, resources."""
    own: bytes
    """JSON: command, inputs, streams."""

    @property
    def key(self) -> bytes:
        """The digest of the whole."""
        return hashlib.sha256(b"%d\n%b\n%b" % (_FORMAT, self.common, self.own)).digest()[:20]


def describe(job: Job, identity: Identity, masks: Masks) -> JobDescription:
    """The job in words.

    Args:
        job: its staged originals are known by ``identity`` if they are there, the others by their checksums.
        identity: what :func:`unidentified` asks for.
        masks: see there.
    """
    own: dict[str, Any] = {
        "command": job.command,
        "inputs": {entry.target: _staged(entry, job, identity) for entry in job.staged},
        "stdin": job.stdin,
        "stdout": job.stdout,
        "stderr": job.stderr,
    }
    if job.processes:
        own |= {"processes": job.processes, "folders": job.folders}
    return JobDescription(_COMMON.of(job, masks), _encoded(own, masks))


class _CommonParts:
    """The common parts of jobs that were met last, by the values that they are made of: those of a step share them."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], tuple[Any, bytes]] = {}
        """By the ids of the values, which are valid as long as they are held here."""

    def of(self, job: Job, masks: Masks) -> bytes:
        """The JSON of the common part of a job."""
        values = job.image, job.environment, job.directories, job.outputs, job.resources, job.exit_codes, masks
        ids = (*map(id, values), job.in_place)
        found = self._known.get(ids)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known = {}
            found = self._known[ids] = values, _encoded(_common(job), masks)
        return found[1]


_COMMON = _CommonParts()


def _common(job: Job) -> dict[str, Any]:
    return {
        "image": job.image,
        "environment": dict(sorted(job.environment.items())),
        "directories": job.directories,
        "outputs": {"globs": job.outputs.globs, "contents": job.outputs.contents},
        "resources": {"cores": job.resources.cores, "gpus": job.resources.gpus, "network": job.resources.network},
        "success codes": job.exit_codes.success,
        "in place": job.in_place,
    }


def unidentified(job: Job, declared: Container[str] = frozenset()) -> Iterator[StagedFile]:
    """The staged originals of which the job does not say which bytes they have.

    Args:
        job: see there.
        claimed: URLs of files whose checksums are only what the user says they are.
    """
    for entry in job.staged:
        known = entry.checksum and entry.sources[0] not in declared
        if entry.sources and not known and not _changed_in_place(entry, job):
            yield entry


@lru_cache(maxsize=4096)
def parts(description: JobDescription) -> Mapping[str, str]:
    """The parts by their names, to be compared one by one: ``command word 2``, ``environment LANG``, ``input /x``."""
    named: dict[str, str] = {}
    for half in (description.common, description.own):
        for name, value in json.loads(half).items():
            if name == "command":
                named |= {f"command word {number}": str(word) for number, word in enumerate(value)}
            elif name in ("environment", "inputs", "resources") and isinstance(value, dict):
                single = "input" if name == "inputs" else name
                named |= {f"{single} {key}": _shown(item) for key, item in value.items()}
            else:
                named[name] = _shown(value)
    return MappingProxyType(named)


def differences(one: JobDescription, other: JobDescription) -> list[tuple[str, str | None, str | None]]:
    """The parts that differ: name, what it is in the one, what in the other; None where it is not there."""
    mine, theirs = parts(one), parts(other)
    return [
        (name, mine.get(name), theirs.get(name))
        for name in dict.fromkeys([*mine, *theirs])
        if mine.get(name) != theirs.get(name)
    ]


def _staged(entry: StagedFile, job: Job, identity: Identity) -> list[Any]:
    kind = f"{entry.kind}, writable" if entry.writable else entry.kind
    if entry.kind == "literal":
        return [kind, entry.contents]
    if not entry.sources:
        return [kind]
    if _changed_in_place(entry, job):  # what it holds is not what it will hold after the job ran
        return [kind, entry.sources[0]]
    if entry.checksum and entry.sources[0] not in identity:
        return [kind, entry.checksum, entry.size] if entry.size is not None else [kind, entry.checksum]
    return [kind, crossed_out(identity[entry.sources[0]])]


def _changed_in_place(entry: StagedFile, job: Job) -> bool:
    return entry.writable and job.in_place


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _encoded(value: Any, masks: Masks) -> bytes:
    try:
        text: bytes = msgspec.json.encode(value)
    except UnicodeEncodeError:  # file names need not be UTF-8
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=True, separators=(",", ":")).encode("ascii")
    for stand_in, word in masks.items():
        text = text.replace(stand_in.encode(), word.encode())
    return text


def secret_masks(hidden: Mapping[str, str], state: Path) -> Masks:
    """Masks of secrets in what is recorded: the same in every session, and of no use to who reads them.

    Args:
        hidden: stand-ins, which are new in every session, to secrets.
        state: a folder where the key for the digests is kept; it is made when it is first needed.
    """
    if not hidden:
        return {}
    key = _digest_key(state / ".secret-key")
    return {
        stand_in: f"(secret {hashlib.blake2b(str(secret).encode(), key=key, digest_size=12).hexdigest()})"
        for stand_in, secret in hidden.items()
    }


def _digest_key(path: Path) -> bytes:
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()[:64]
