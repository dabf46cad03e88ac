"""Which backend or store reads which option: one that nothing reads is a mistake of whoever typed it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gridcwl.cli.parsing import OptionalWord, Parser
from gridcwl.errors import UsageError


class Owner(NamedTuple):
    """Who reads some options."""

    option: str
    """``--backend`` or ``--store``."""
    values: tuple[str, ...]
    """Of that option; ``dirac-local`` is DIRAC's local mode."""
    fields: frozenset[str]


_GRID = ("site", "ban_site", "tag", "platform", "priority", "job_type", "cpu_time", "placement", "locality", "pack")
_HERE = (
    "engine",
    "reuse_containers",
    "strict_memory_limit",
    "strict_cpu_limit",
    "cap_resources",
    "user_space_docker_cmd",
    "force_docker_pull",
    "pull",
    "custom_net",
    "no_match_user",
    "no_read_only",
    "rm_container",
    "cidfile_dir",
    "cidfile_prefix",
    "record_container_id",
    "singularity_sandbox_path",
)
_RUCIO = (
    "rucio_scope",
    "rucio_name",
    "rucio_rse",
    "lifetime",
    "copies",
    "rse_expression",
    "output_dataset",
    "download",
    "cache_in_rucio",
)
OWNERS = (
    Owner("--backend", ("dirac", "diracx", "dirac-local"), frozenset(_GRID)),
    Owner("--backend", ("dirac", "diracx"), frozenset({"detach"})),
    Owner("--backend", ("dirac", "dirac-local"), frozenset({"dirac_mode"})),
    Owner("--backend", ("local",), frozenset(_HERE)),
    Owner("--backend", ("local", "dirac-local"), frozenset({"max_jobs"})),
    Owner("--store", ("rucio",), frozenset(_RUCIO)),
)
"""Options that only some backends or stores read; all others are read whatever the backend and the store."""


def check(parser: Parser, words: Sequence[str], *, backend: str, store: str) -> None:
    """Refuse options that nothing reads.

    Args:
        parser: of the words.
        words: the options as they were typed.
        backend: the one that is used; ``dirac-local`` in DIRAC's local mode.
        store: the one that is used.

    Raises:
        UsageError: one is for another backend or store.
    """
    used = {"--backend": backend, "--store": store}
    for word in words:
        action = parser.action(word) if word.startswith("-") else None
        if action is None:
            continue
        name = action.alone[0] if isinstance(action, OptionalWord) and "=" not in word else action.dest
        for owner in OWNERS:
            if name in owner.fields and used[owner.option] not in owner.values:
                raise _unread(word.partition("=")[0], owner, used[owner.option])


def _unread(name: str, owner: Owner, used: str) -> UsageError:
    names = [f"{owner.option} {value}" for value in owner.values if value != "dirac-local"]
    now = "--backend dirac --dirac-mode local" if used == "dirac-local" else f"{owner.option} {used}"
    return UsageError(
        f"{name} requires {' or '.join(names)}; it has no effect with {now}",
        remedy=f"Add {names[0]}, or omit {name}.",
    )
