"""The sites of a service in groups, workflows against them, and the choice that a user makes for a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gridcwl.cwl.step_requirements import StepRequirements
from gridcwl.service import capacity
from gridcwl.service.capacity import Match, SiteGroup
from gridcwl.service.problems import BadRequest
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.sites import Sites


class Offering(Protocol):
    """What knows the sites: parts of ``Service``."""

    @property
    def settings(self) -> ServiceSettings: ...  # noqa: D102
    @property
    def sites(self) -> Sites: ...  # noqa: D102


def groups(service: Offering) -> list[SiteGroup]:
    """The operator's facilities, or else the grids of the sites' names. Blocks while the backend is queried."""
    wanted = [SiteGroup(one.name, one.sites, one.description, one.url, one.kind) for one in service.settings.facilities]
    return capacity.site_groups(service.sites.offers().sites, wanted)


def matched(service: Offering, steps: Sequence[StepRequirements]) -> Match:
    """A workflow against all sites. Blocks while the backend is queried."""
    return capacity.match(steps, service.sites.offers().sites, groups(service))


def chosen(service: Offering, choice: Sequence[str], steps: Sequence[StepRequirements] = ()) -> tuple[str, ...]:
    """The sites that a choice stands for.

    Args:
        service: see there.
        choice: names of sites and facilities, and ``GPU``.
        steps: that have to run there; empty if they are not known.

    Raises:
        BadRequest: there is no such site or facility, or none in it can run the steps.
    """
    offers = service.sites.offers()
    if offers.problem:
        raise BadRequest(f"A site was chosen, but the sites are not known now: {offers.problem}")
    try:
        return capacity.chosen_sites(choice, offers.sites, groups(service), steps)
    except ValueError as error:
        raise BadRequest(f"The site {', '.join(choice)[:200]} cannot be chosen: {error}") from None
