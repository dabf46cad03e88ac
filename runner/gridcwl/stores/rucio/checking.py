"""Whether Rucio will take the names of a run, asked before any of its jobs runs: a question that changes nothing.

What makes datasets (``POST /dids``) checks no names, so a policy would be met when the first job has ended. What
attaches DIDs checks them all first, then whether the account may, and only then whether the DIDs are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from gridcwl.errors import ConfigError, StoreError
from gridcwl.model.chunks import chunks
from gridcwl.stores.rucio.client import CHUNK, RucioClient, RucioProblem
from gridcwl.stores.rucio.names import Did, Naming
from gridcwl.worker.naming import name_of

_NO_JOB = "0-0-0"
"""The mark of a job that no run has: nothing can be attached to anything."""
_REFUSED = re.compile(r"'([^']*)' (does not match '[^']*'|is too long|is not one of .{0,80})")
_UNKNOWN = re.compile(r"identifier '([^:']*):([^']*)' not found")


async def check_names(client: RucioClient, naming: Naming, steps: Iterable[str], chosen: Did | None = None) -> None:
    """See that the names of a run's files and datasets are allowed, and that the account may make them.

    Args:
        client: to ask.
        naming: of the run.
        steps: the names of its steps.
        chosen: a dataset that the user wants final outputs in.

    Raises:
        ConfigError: a name is not allowed, or the scope is not there; saying which and why.
        StoreError: the account may not write to the scope; or Rucio cannot be reached.
    """
    asked = list(_attachments(naming, list(steps) or ["step"], chosen))
    for part in chunks(asked, CHUNK):
        try:
            await client.call("attach_dids_to_dids", part, ignore_duplicate=True)
        except RucioProblem as problem:
            if problem.kind == "InvalidObject":
                raise _not_allowed(problem, naming, chosen) from None
            if problem.kind == "AccessDenied":
                raise _forbidden(problem, naming, chosen) from None
            if problem.kind not in ("DataIdentifierNotFound", "UnsupportedOperation"):
                raise
    if naming.slashes:
        await _check_scope_in_name(client, naming)


async def check_dataset(client: RucioClient, chosen: Did) -> None:
    """See that the dataset that a user names for final outputs can take files, or is not there yet.

    Files of different runs have different names: what is in it already stays, and stays what it is.

    Raises:
        ConfigError: the name is another thing's, or the dataset is closed.
        RucioProblem: Rucio cannot be reached.
    """
    try:
        about = await client.call("get_did", chosen.scope, chosen.name)
    except RucioProblem as problem:
        if problem.kind == "DataIdentifierNotFound":
            return
        raise
    kind = str(about.get("type", "")).rpartition(".")[2].lower()
    if kind != "dataset":
        reason = f"it is a {kind} already"
    elif about.get("open") is False:
        reason = "this dataset is closed, and takes no more files"
    else:
        return
    raise ConfigError(
        f"Outputs cannot be put into the dataset {chosen}: {reason}", remedy="Choose another --output-dataset."
    )


async def check_scope(client: RucioClient, scope: str, own: Sequence[str]) -> None:
    """See that a scope is there; who may write to it is another question.

    Raises:
        ConfigError: it is not.
    """
    if scope in own or scope in {str(known) for known in await client.call("list_scopes")}:
        return
    listed = f"the account has {', '.join(sorted(own)[:8])}" if own else "the account has none of its own"
    raise ConfigError(f"Rucio has no scope {scope}; {listed}", remedy="Choose another --rucio-scope.")


def _attachments(naming: Naming, steps: Sequence[str], chosen: Did | None) -> Iterable[dict[str, Any]]:
    for step in dict.fromkeys(steps):
        dataset = naming.dataset(step, "out")
        file = Did(naming.scope, name_of(naming.prefix(step, _NO_JOB), "file"))
        yield _attachment(naming.container, dataset)
        yield _attachment(dataset, file)
    file = Did(naming.scope, name_of(naming.prefix("outputs", _NO_JOB), "file"))
    yield _attachment(chosen or naming.dataset("outputs", "out"), file)


def _attachment(parent: Did, child: Did) -> dict[str, Any]:
    return {"scope": parent.scope, "name": parent.name, "dids": [{"scope": child.scope, "name": child.name}]}


async def _check_scope_in_name(client: RucioClient, naming: Naming) -> None:
    """Where names have slashes a server takes scope and name out of one path; it has to come to the same scope."""
    did = Did(naming.scope, name_of(naming.prefix("step", _NO_JOB), "file"))
    try:
        await client.call("get_did", did.scope, did.name)
    except RucioProblem as problem:
        found = _UNKNOWN.search(problem.message)
        if problem.kind == "DataIdentifierNotFound" and found and (found[1], found[2]) != (did.scope, did.name):
            raise ConfigError(
                f"Rucio reads the name {did.name} in the scope {did.scope} as {found[2]} in the scope {found[1]}",
                remedy=f"Choose another --rucio-name ({naming.template} now) or --rucio-scope.",
            ) from None
        if problem.kind != "DataIdentifierNotFound":
            raise


def _not_allowed(problem: RucioProblem, naming: Naming, chosen: Did | None) -> ConfigError:
    found = _REFUSED.search(problem.message)
    if found and chosen is not None and found[1] in chosen:
        return ConfigError(
            f"Rucio's policy does not allow the name {chosen}: it {found[2]}",
            remedy="Choose another --output-dataset.",
        )
    what = f"a name like {found[1]}: it {found[2]}" if found else f"the names of this run: {problem.message}"
    return ConfigError(
        f"Rucio's policy does not allow {what}",
        remedy=f"Choose another --rucio-name; it is {naming.template!r} now, and '{_other(naming)}' might do.",
    )


def _other(naming: Naming) -> str:
    return "{run}/{step}" if naming.slashes else "/VO/{scope}/{run}/{step}"


def _forbidden(problem: RucioProblem, naming: Naming, chosen: Did | None) -> StoreError:
    scopes = dict.fromkeys([naming.scope, *([chosen.scope] if chosen else [])])
    return RucioProblem(
        f"The account may not write to the scope {' or '.join(scopes)}",
        problem.kind,
        remedy="Choose another --rucio-scope or --output-dataset, or ask the owner of the scope.",
    )
