"""Which run comes next where more wait than may be active: a pure decision."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gridcwl.service.db import OwnersQueue


def next_owner(queue: Sequence[OwnersQueue], held: Collection[str] = ()) -> str | None:
    """Whose first waiting run is to begin: the user with the fewest active ones; of several, who has waited longest.

    Args:
        queue: the users who have runs in the queue.
        held: users whose runs cannot begin now.
    """
    ready = [one for one in queue if one.waiting > 0 and one.owner not in held]
    return min(ready, key=lambda one: (one.active, one.first)).owner if ready else None
