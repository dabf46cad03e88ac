"""Replication rules: intermediate files are kept for a while, final outputs as long as the user asks for."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from gridcwl.stores.rucio.client import RucioClient, RucioProblem
from gridcwl.stores.rucio.names import Did
from gridcwl.stores.rucio.settings import DAY_S

log = logging.getLogger("gridcwl.stores.rucio")


@dataclass(slots=True)
class RunRule:
    """The rule on a run's container. It covers all that is put into the container later, too."""

    client: RucioClient
    container: Did
    elements: Collection[str]
    """Where the files are; each stays where it is."""
    keep_days: float
    _rule: str = field(init=False, default="")
    _refused: bool = field(init=False, default=False)

    @property
    def every_s(self) -> float:
        """How often it should be extended, in seconds."""
        return max(60.0, min(self.keep_days * DAY_S / 4, 21_600.0))

    async def make(self) -> str:
        """See that it is there; returns its id, or an empty string where the account may have none.

        Raises:
            RucioProblem: Rucio cannot be reached.
        """
        if not self._rule and not self._refused:
            expression = "|".join(sorted(self.elements))
            try:
                self._rule = await add_rule(self.client, self.container, expression, 1, self.keep_days)
            except RucioProblem as problem:
                if problem.kind in ("ServerConnectionException", "DatabaseException"):
                    raise
                self._refused = True
                log.warning("No rule was made for the intermediate files: %s", problem.message)
        return self._rule

    async def extend(self) -> None:
        """Restart its lifetime. A failure is only logged: it is tried again later."""
        if self._rule:
            try:
                await self.client.call("update_replication_rule", self._rule, {"lifetime": int(self.keep_days * DAY_S)})
            except RucioProblem as problem:
                log.warning("The rule of %s could not be extended: %s", self.container, problem.message)


async def add_rule(
    client: RucioClient, did: Did, expression: str, copies: int, days: float | None, *, grouping: str = "NONE"
) -> str:
    """A rule on a DID; the one that is there if it is the same. Returns its id.

    Raises:
        RucioProblem: it cannot be made.
    """
    lifetime = None if days is None else int(days * DAY_S)
    named = {"lifetime": lifetime, "grouping": grouping, "comment": "made by gridcwl"}
    try:
        (rule,) = await client.call("add_replication_rule", [_plain(did)], copies, expression, **named)
    except RucioProblem as problem:
        if problem.kind != "DuplicateRule":
            raise
        return await _same_rule(client, did, expression, copies)
    return str(rule)


async def rules_of(client: RucioClient, did: Did) -> Sequence[dict[str, object]]:
    """The rules on a DID."""
    try:
        return list(await client.call("list_did_rules", did.scope, did.name))
    except RucioProblem as problem:
        if problem.kind in ("DataIdentifierNotFound", "RuleNotFound"):
            return []
        raise


async def _same_rule(client: RucioClient, did: Did, expression: str, copies: int) -> str:
    for rule in await rules_of(client, did):
        if rule["rse_expression"] == expression and rule["copies"] == copies:
            return str(rule["id"])
    return ""


def _plain(did: Did) -> dict[str, str]:
    return {"scope": did.scope, "name": did.name}
