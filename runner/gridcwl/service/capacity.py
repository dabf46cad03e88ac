"""What a workflow needs against what each site offers, in words; and sites chosen by what they have. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import msgspec

from gridcwl.backends.base import QueueOffer, SiteOffer
from gridcwl.cwl.step_requirements import StepRequirements
from gridcwl.runs.units import amount, duration

GPU = "GPU"
"""The tag of sites with GPUs, as DIRAC has it; and the choice of all of them."""


@dataclass(frozen=True, slots=True)
class SiteGroup:
    """Sites with a name of their own: a facility."""

    name: str
    sites: tuple[str, ...]
    description: str = ""
    url: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a site can run all steps of a workflow."""

    site: SiteOffer
    reason: str = ""
    """Why it cannot; empty if it can."""

    @property
    def can(self) -> bool:
        """Whether it can."""
        return not self.reason


def _able(fits: Iterable[Fit]) -> tuple[str, ...]:
    return tuple(fit.site.site for fit in fits if fit.can)


@dataclass(frozen=True, slots=True)
class GroupFit:
    """A group of sites, and which of them can run a workflow."""

    group: SiteGroup
    fits: tuple[Fit, ...]

    @property
    def able(self) -> tuple[str, ...]:
        """The sites that can."""
        return _able(self.fits)


@dataclass(frozen=True, slots=True)
class Match:
    """A workflow against all sites."""

    fits: tuple[Fit, ...]
    groups: tuple[GroupFit, ...]

    @property
    def able(self) -> tuple[str, ...]:
        """The sites that can run it."""
        return _able(self.fits)

    @property
    def with_gpu(self) -> tuple[str, ...]:
        """Those of them that have a GPU."""
        return _able(fit for fit in self.fits if has_gpu(fit.site))

    @property
    def summary(self) -> str:
        """How many sites can run it, in a sentence."""
        total, number = len(self.fits), len(self.able)
        if not total:
            return "The backend does not say which sites there are."
        if total == 1:
            fit = self.fits[0]
            name, gpu = fit.site.site, "; it has a GPU" if self.with_gpu else ""
            return f"{name} can run this{gpu}." if fit.can else f"{name} cannot run this: {fit.reason}."
        if not number:
            return f"None of the {total} sites can run this."
        gpus = len(self.with_gpu)
        some = f"{gpus} {'has' if gpus == 1 else 'have'} a GPU" if gpus else "none has a GPU"
        return f"{number} {'site' if number == 1 else 'sites'} can run this, {some}."

    @property
    def details(self) -> tuple[str, ...]:
        """Why groups, or else single sites, cannot run it: a sentence each."""
        if len(self.fits) < 2:
            return ()
        lines, told = [], set[str]()
        for one in self.groups:
            if one.fits and not one.able:
                told |= {fit.site.site for fit in one.fits}
                lines.append(f"None in {one.group.name}, because {_because(one.fits)}.")
        others = [fit for fit in self.fits if not fit.can and fit.site.site not in told]
        lines += [f"Not {fit.site.site}: {fit.reason}." for fit in others]
        return tuple(lines)


def _because(fits: Sequence[Fit]) -> str:
    """The reasons of sites that cannot: once if they are all the same."""
    reasons: dict[str, list[str]] = {}
    for fit in fits:
        reasons.setdefault(fit.reason, []).append(fit.site.site)
    if len(reasons) == 1:
        return next(iter(reasons))
    return "; ".join(f"at {', '.join(sites)} {reason}" for reason, sites in reasons.items())


def match(steps: Sequence[StepRequirements], sites: Sequence[SiteOffer], groups: Sequence[SiteGroup]) -> Match:
    """A workflow's steps against the sites.

    Args:
        steps: what each asks for.
        sites: what each offers.
        groups: of sites; see :func:`site_groups`.
    """
    fits = {site.site: Fit(site, why_not(steps, site)) for site in sites}
    within = [GroupFit(group, tuple(fits[name] for name in group.sites if name in fits)) for group in groups]
    return Match(tuple(fits.values()), tuple(within))


def why_not(steps: Iterable[StepRequirements], site: SiteOffer) -> str:
    """Why a site cannot run all steps, as the end of a sentence; empty if it can."""
    if not site.is_open:
        return f"it takes no jobs now ({site.status})"
    return next((reason for step in steps if (reason := _step_lacks(step, site))), "")


def _step_lacks(step: StepRequirements, site: SiteOffer) -> str:
    if step.sites and site.site not in step.sites:
        return f"the step {step.name} runs at {' or '.join(step.sites)} only"
    if site.site in step.banned:
        return f"the step {step.name} excludes it"
    if not site.queues:
        return ""
    if site.hints_give_way:
        if "resources" in step.hints:
            step = msgspec.structs.replace(step, cores=0, ram_mib=0)
        if "gpus" in step.hints:
            step = msgspec.structs.replace(step, gpus=0)
    reasons = [_queue_lacks(step, queue) for queue in site.queues]
    return "" if "" in reasons else reasons[0]


def _queue_lacks(step: StepRequirements, queue: QueueOffer) -> str:
    return next(_lacks(step, queue), "")


def _lacks(step: StepRequirements, queue: QueueOffer) -> Iterator[str]:
    needs = f"the step {step.name} needs"
    if queue.cores is not None and queue.cores < math.ceil(step.cores):
        yield f"its jobs have at most {_cores(queue.cores)}, and {needs} {step.cores:g}"
    if queue.ram_mib is not None and queue.ram_mib < step.ram_mib:
        yield f"its jobs have at most {_mib(queue.ram_mib)} of memory, and {needs} {_mib(step.ram_mib)}"
    if queue.cpu_time_s is not None and queue.cpu_time_s < step.time_s:
        yield f"its jobs have at most {duration(queue.cpu_time_s)}, and {needs} {duration(step.time_s)}"
    if step.gpus and not _queue_gpu(queue):
        yield f"it has no GPU, and {needs} {'one' if step.gpus == 1 else step.gpus}"
    if step.gpus and queue.gpus is not None and queue.gpus < step.gpus:
        yield f"it has {queue.gpus} {'GPU' if queue.gpus == 1 else 'GPUs'}, and {needs} {step.gpus}"
    missing = [tag for tag in step.tags if tag not in queue.tags and not (tag == GPU and _queue_gpu(queue))]
    if missing:
        yield f"it does not have the tag {', '.join(missing)}, and {needs} it"
    wanted = {*step.tags, *([GPU] if step.gpus else [])}
    if queue.required_tags and not wanted & set(queue.required_tags):
        yield f"it is only for jobs with the tag {' or '.join(queue.required_tags)}"


def has_gpu(site: SiteOffer) -> bool:
    """Whether a site has any GPU."""
    return any(_queue_gpu(queue) for queue in site.queues)


def _queue_gpu(queue: QueueOffer) -> bool:
    return bool(queue.gpus) or GPU in queue.tags or GPU in queue.required_tags


# -- groups of sites, and the choice among them ------------------------------------------------------------------------


def site_groups(sites: Sequence[SiteOffer], facilities: Sequence[SiteGroup]) -> list[SiteGroup]:
    """The operator's facilities with the names of their sites; without any, DIRAC's grids: ``LCG`` of ``LCG.Lyon.fr``.

    Args:
        sites: all of them.
        facilities: their ``sites`` may be patterns as ``LCG.*``.
    """
    names = [site.site for site in sites]
    if facilities:
        found = []
        for one in facilities:
            inside = [name for name in names if any(fnmatchcase(name, pattern) for pattern in one.sites)]
            found.append(SiteGroup(one.name, tuple(inside), one.description, one.url, one.kind))
        return found
    grids: dict[str, list[str]] = {}
    for name in names:
        if len(name.split(".")) == 3:
            grids.setdefault(name.partition(".")[0], []).append(name)
    return [SiteGroup(grid, tuple(inside)) for grid, inside in grids.items()] if len(grids) > 1 else []


def chosen_sites(
    choice: Sequence[str], sites: Sequence[SiteOffer], groups: Sequence[SiteGroup], steps: Sequence[StepRequirements]
) -> tuple[str, ...]:
    """The open sites that a choice stands for, those first that can run all steps; without others, if any can.

    Args:
        choice: names of sites and of groups of sites, and ``GPU`` for all sites that have one.
        sites: all of them.
        groups: see :func:`site_groups`.
        steps: of the workflow; empty if they are not known.

    Raises:
        ValueError: one of them does not exist, or none takes jobs; the end of a sentence.
    """
    known = {site.site: site for site in sites}
    by_group = {group.name: group.sites for group in groups}
    found: list[str] = []
    for name in choice:
        if name in known:
            found.append(name)
        elif name in by_group:
            found.extend(by_group[name])
        elif name == GPU:
            found.extend(site.site for site in sites if has_gpu(site))
        else:
            there = ", ".join([*by_group, *known]) or "none"
            raise ValueError(f"there is no site or facility {name[:80]!r}. There are: {there}")
    chosen = list(dict.fromkeys(found))
    able = [name for name in chosen if not why_not(steps, known[name])]
    if able:
        return tuple(able)
    reasons = "; ".join(f"{name}: {why_not(steps, known[name])}" for name in chosen[:5])
    raise ValueError(f"none of the sites in {', '.join(choice)[:200]} can run it. {reasons}".rstrip(". "))


# -- words -------------------------------------------------------------------------------------------------------------


def needs_in_words(step: StepRequirements) -> str:
    """What a step asks for, in a line; empty if the document says nothing."""
    words = {
        _cores(step.cores): step.cores,
        f"{_mib(step.ram_mib)} memory": step.ram_mib,
        f"{_mib(step.disk_mib)} disk": step.disk_mib,
        f"{step.gpus} {'GPU' if step.gpus == 1 else 'GPUs'}": step.gpus,
        f"up to {duration(step.time_s)}": step.time_s,
        f"tag {', '.join(step.tags)}": step.tags,
        f"only at {', '.join(step.sites)}": step.sites,
        f"not at {', '.join(step.banned)}": step.banned,
        f"platform {step.platform}": step.platform,
        f"{' and '.join(step.by_inputs)} by the inputs": step.by_inputs,
    }
    return ", ".join(text for text, value in words.items() if value)


def offered_in_words(site: SiteOffer) -> str:
    """What a site offers at most, in a line; empty if nobody says."""
    return ", ".join(_offered(site))


def _offered(site: SiteOffer) -> Iterator[str]:
    def most(values: Iterable[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    if (cores := most(queue.cores for queue in site.queues)) is not None:
        yield _cores(cores)
    if (ram := most(queue.ram_mib for queue in site.queues)) is not None:
        yield f"{_mib(ram)} memory"
    if has_gpu(site):
        gpus = int(most(queue.gpus for queue in site.queues) or 0)
        yield f"{gpus} GPUs" if gpus > 1 else "GPU"
    if (time_s := most(queue.cpu_time_s for queue in site.queues)) is not None:
        yield f"{duration(time_s)} CPU time"


def _cores(cores: float) -> str:
    return f"{cores:g} {'core' if cores == 1 else 'cores'}"


def _mib(mib: float) -> str:
    return amount(int(mib) << 20)


def plain(site: SiteOffer) -> Mapping[str, object]:
    """A site for machines: the most that its queues offer."""
    return {
        "site": site.site,
        "open": site.is_open,
        "status": site.status,
        "gpu": has_gpu(site),
        "offers": offered_in_words(site),
        "queues": [
            {
                "name": queue.name,
                "cores": queue.cores,
                "ram_mib": queue.ram_mib,
                "gpus": queue.gpus,
                "cpu_time_s": queue.cpu_time_s,
                "tags": list(queue.tags),
                "required_tags": list(queue.required_tags),
                "platform": queue.platform,
            }
            for queue in site.queues
        ],
        "storage": list(site.storage),
    }
