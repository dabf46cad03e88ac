"""What a job needs, in the terms on which DIRAC matches jobs and sites; and which sites can run it. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from gridcwl.backends.batch.packing import input_bytes, step_of
from gridcwl.backends.dirac.sites import DiracSite, Queue
from gridcwl.errors import BackendError, ConfigError
from gridcwl.model import Job, Placement

Locality: TypeAlias = Literal["prefer", "strict", "off"]
_GPU = "GPU"
_SLOT_MIB = 2048
"""Memory that any site gives a job. More is asked for; less is not, for not every pilot tells DIRAC what it has."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What DIRAC takes; its own defaults where the configuration does not say otherwise."""

    cpu_time_s: tuple[int, int] = (100, 500_000)
    priority: tuple[int, int] = (0, 10)
    processors: int = 1024
    job_types: tuple[str, ...] = ("User", "Test", "Hospital")
    platforms: tuple[str, ...] = ()
    """Those that the matcher knows; it never finds a place for another."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants of all jobs, from the command line and the configuration, and of single steps."""

    placement: Placement = field(default_factory=Placement)
    """Holds where neither the document nor ``steps`` says anything."""
    steps: Mapping[str, Placement] = field(default_factory=dict)
    """By the step's path, or its last parts; over the document's."""
    cpu_time_s: int | None = None
    """For tools without a time limit; None leaves it to DIRAC."""
    locality: Locality = "prefer"
    local_bytes: int = 100 * 1024 * 1024
    """With less than this to move, a job may run anywhere."""
    local_wait_s: float = 300.0
    """A job that has not started for so long where its inputs are may run anywhere, unless locality is strict."""


@dataclass(frozen=True, slots=True)
class JobRequirements:
    """Requirements of a DIRAC job: jobs with the same are submitted together. None and empty: no requirement."""

    processors: int = 1
    more_processors: bool = False
    """More than these would be of use."""
    ram_mib: int | None = None
    cpu_time_s: int | None = None
    tags: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    platform: str | None = None
    priority: int | None = None
    job_type: str | None = None
    near: bool = False
    """The sites are those that hold its inputs: better than others, and not the only ones that will do."""


def job_placement(job: Job, wishes: Wishes) -> Placement:
    """What holds for this job: single steps over the document over what is wanted of all."""
    found = merged_placement(wishes.placement, job.placement)
    step = step_of(job.name)
    for name, placement in wishes.steps.items():
        if step == name or step.endswith("/" + name):
            found = merged_placement(found, placement)
    return found


def merged_placement(under: Placement, over: Placement | None) -> Placement:
    """Field by field the one that says something; banned sites of both."""
    if over is None:
        return under
    return Placement(
        sites=over.sites or under.sites,
        banned=tuple(dict.fromkeys((*under.banned, *over.banned))),
        tags=over.tags or under.tags,
        platform=over.platform or under.platform,
        priority=under.priority if over.priority is None else over.priority,
        job_type=over.job_type or under.job_type,
        cpu_work=over.cpu_work or under.cpu_work,
    )


def needs_of(job: Job, wishes: Wishes, limits: Limits, offers: Sequence[DiracSite] = ()) -> JobRequirements:
    """The requirements of the job, locality aside.

    Args:
        job: with what it asks for.
        wishes: of the user.
        limits: of the server.
        offers: of the sites; memory that all of them have need not be asked for.

    Raises:
        BackendError: DIRAC takes no such job, whatever the site.
    """
    place = job_placement(job, wishes)
    wanted = job.resources
    if place.job_type is not None and place.job_type not in limits.job_types:
        raise BackendError(
            f"{job.name} is to be a DIRAC job of the type {place.job_type}, which the server does not take",
            remedy=f"It takes: {', '.join(limits.job_types)}.",
        )
    processors = max(1, math.ceil(wanted.cores))
    if processors > limits.processors:
        raise BackendError(
            f"{job.name} asks for {processors} cores (ResourceRequirement), and DIRAC gives a job at most "
            f"{limits.processors}",
            remedy="Lower the tool's coresMin.",
        )
    time_s = place.cpu_work or (wishes.cpu_time_s if wanted.time_limit_s is None else wanted.time_limit_s)
    tags = (*place.tags, *([_GPU] if wanted.gpus else []))
    return JobRequirements(
        processors=processors,
        ram_mib=wanted.ram_mib if wanted.ram_mib > _least_ram(offers) else None,
        cpu_time_s=None if time_s is None else _within(time_s, limits.cpu_time_s),
        tags=tuple(dict.fromkeys(tags)),
        sites=tuple(site for site in place.sites if site not in place.banned),
        banned=() if place.sites else place.banned,
        platform=place.platform if place.platform in limits.platforms else None,
        priority=None if place.priority is None else _within(place.priority, limits.priority),
        job_type=place.job_type,
    )


def _least_ram(offers: Iterable[DiracSite]) -> int:
    return min((queue.ram_mib or _SLOT_MIB for offer in offers for queue in offer.queues), default=_SLOT_MIB)


def not_honoured(job: Job, wishes: Wishes, limits: Limits) -> list[str]:
    """Requests of the job that DIRAC has no parameter for, a sentence each."""
    place, wanted = job_placement(job, wishes), job.resources
    messages: list[str] = []
    if place.platform and place.platform not in limits.platforms:
        messages.append(f"The platform {place.platform} is not requested: DIRAC's configuration does not define it.")
    if wanted.time_limit_s and wanted.time_limit_s > limits.cpu_time_s[1]:
        messages.append(f"The time limit is {wanted.time_limit_s} s, but DIRAC gives a job {limits.cpu_time_s[1]} s.")
    if place.priority is not None and place.priority != _within(place.priority, limits.priority):
        messages.append(f"The priority {place.priority} is made {_within(place.priority, limits.priority)}.")
    if wanted.gpus > 1:
        messages.append("DIRAC cannot be asked for more than one GPU; the job looks for them where it runs.")
    if wanted.tmp_mib + wanted.out_mib > 2048:
        messages.append(
            "Disk space (tmpdirMin, outdirMin) is not matched by DIRAC; the job looks for it where it runs."
        )
    return messages


def _within(value: int, bounds: tuple[int, int]) -> int:
    return min(max(value, bounds[0]), bounds[1])


# -- which sites ---------------------------------------------------------------------------------------------------


def why_not(needs: JobRequirements, offer: DiracSite, *, ignore_status: bool = False) -> str | None:
    """Why a site cannot run jobs with these needs, as the end of a sentence; None if it can."""
    if needs.sites and offer.site not in needs.sites:
        return "it is not one of the sites that were asked for"
    if offer.site in needs.banned:
        return "it is banned for this job"
    if not offer.open and not ignore_status:
        return f"DIRAC sends no jobs there now ({offer.status})"
    if not offer.queues:
        return None
    reasons = [_queue_lacks(needs, queue) for queue in offer.queues]
    return None if None in reasons else reasons[0]


def _queue_lacks(needs: JobRequirements, queue: Queue) -> str | None:
    if queue.processors is not None and queue.processors < needs.processors:
        return f"its jobs get at most {queue.processors} core(s), and {needs.processors} are needed (coresMin)"
    if queue.ram_mib is not None and needs.ram_mib is not None and queue.ram_mib < needs.ram_mib:
        return f"its jobs get at most {queue.ram_mib} MiB of memory, and {needs.ram_mib} are needed (ramMin)"
    if queue.cpu_time_s is not None and needs.cpu_time_s is not None and queue.cpu_time_s < needs.cpu_time_s:
        return f"its jobs get at most {queue.cpu_time_s} s, and {needs.cpu_time_s} s are needed (ToolTimeLimit)"
    missing = [tag for tag in needs.tags if tag not in queue.tags]
    if missing:
        why = "CUDARequirement" if missing == [_GPU] else "tags"
        return f"it does not offer {', '.join(missing)} ({why})"
    if queue.required_tags and not set(queue.required_tags) & set(needs.tags):
        return f"it takes only jobs that ask for {' or '.join(queue.required_tags)}"
    return None


def fitting(needs: JobRequirements, offers: Iterable[DiracSite]) -> list[str]:
    """The sites that can run jobs with these needs."""
    return [offer.site for offer in offers if why_not(needs, offer) is None]


@dataclass(frozen=True, slots=True)
class Room:
    """What every site that can run a job would give to several of them at once: asking for so much loses no site."""

    side_by_side: int = 1
    """How many can run at a time."""
    cpu_time_s: int | None = None
    """CPU time for all of them together; None if no site says."""


def room_for(needs: JobRequirements, ram_mib: int, offers: Iterable[DiracSite]) -> Room:
    """How much room there is for several jobs with these needs in one DIRAC job.

    Args:
        needs: of one of them.
        ram_mib: that one of them takes.
        offers: of the sites.
    """
    queues = [
        [queue for queue in offer.queues if _queue_lacks(needs, queue) is None]
        for offer in offers
        if why_not(needs, offer) is None
    ]
    if not queues or not all(queues):
        return Room()
    times = [queue.cpu_time_s for site in queues for queue in site if queue.cpu_time_s is not None]
    width = min(max(_width(needs, ram_mib, queue) for queue in site) for site in queues)
    return Room(width, min(times, default=None))


def _width(needs: JobRequirements, ram_mib: int, queue: Queue) -> int:
    by_processors = (queue.processors or 1) // needs.processors
    by_memory = by_processors if queue.ram_mib is None else queue.ram_mib // max(ram_mib, 1)
    return max(1, min(by_processors, by_memory))


def together(needs: JobRequirements, size: int, room: Room, limits: Limits) -> tuple[int, JobRequirements]:
    """How many jobs one DIRAC job can hold, and what it needs for them.

    Args:
        needs: of one of them.
        size: how many it is to hold.
        room: at the sites that can run one of them: none of these is lost.
        limits: of the server.
    """
    cpu_time_s = needs.cpu_time_s
    if cpu_time_s is not None:
        most_s = min(limits.cpu_time_s[1], room.cpu_time_s or limits.cpu_time_s[1])
        size = max(1, min(size, most_s // cpu_time_s))
        cpu_time_s *= size
    width = min(size, room.side_by_side)
    return size, replace(
        needs,
        processors=needs.processors * width,
        more_processors=size > 1,
        ram_mib=None if needs.ram_mib is None else needs.ram_mib * width,
        cpu_time_s=cpu_time_s,
    )


def refuse_homeless(job: Job, needs: JobRequirements, offers: Sequence[DiracSite]) -> None:
    """See that some site can run the job, now or when it is opened again.

    Raises:
        BackendError: none can; naming the requirement.
    """
    if not offers or any(why_not(needs, offer, ignore_status=True) is None for offer in offers):
        return
    known = {offer.site for offer in offers}
    strangers = [site for site in needs.sites if site not in known]
    if strangers:
        raise ConfigError(
            f"{job.name} is to run at {', '.join(strangers)}, which DIRAC does not know",
            remedy=f"DIRAC knows: {', '.join(sorted(known))}.",
        )
    reasons = "; ".join(f"{offer.site}: {why_not(needs, offer, ignore_status=True)}" for offer in offers[:8])
    raise BackendError(
        f"{job.name} can run at no site of DIRAC: {reasons}",
        remedy="Lower what the tool asks for, or take back what the hint or option demands; gridcwl sites lists them.",
    )


# -- data near -----------------------------------------------------------------------------------------------------


def bytes_at(job: Job) -> dict[str, int]:
    """How many bytes of the job's inputs lie beside each site, by the storage elements that the job knows."""
    if job.storage is None:
        return {}
    held: dict[str, int] = {}
    for entry in job.staged:
        near = {
            site
            for element in job.storage.elements
            if any(source.startswith(element.urls) for source in entry.sources)
            for site in element.sites
        }
        for site in near:
            held[site] = held.get(site, 0) + (entry.size or 0)
    return held


def bytes_to_move(job: Job, sites: Collection[str]) -> tuple[int, int]:
    """How many bytes of the job's inputs are not beside the site where it runs: at the best and at the worst of these.

    Args:
        job: with its inputs, as far as it is known where they are.
        sites: where it can run; none means that nobody knows.
    """
    total, held = input_bytes(job), bytes_at(job)
    if not sites:
        return total - max(held.values(), default=0), total
    there = [held.get(site, 0) for site in sites]
    return total - max(there), total - min(there)


def near_data(job: Job, needs: JobRequirements, wishes: Wishes, offers: Sequence[DiracSite]) -> JobRequirements:
    """The needs, with the sites where most of the input bytes are.

    ``strict`` keeps to the sites that hold the most; ``prefer`` to those that hold at least half of it, where the
    inputs are large and such a site can run the job now: for as long as it does so within ``local_wait_s``.

    Raises:
        BackendError: with ``strict``, no site that holds the inputs can run the job.
    """
    held = bytes_at(job) if wishes.locality != "off" else {}
    if not held:
        return needs
    total, most = input_bytes(job), max(held.values())
    can = set(fitting(needs, offers)) if offers else set(held)
    if wishes.locality == "strict":
        chosen = [site for site in sorted(held) if held[site] == most]
        if not [site for site in chosen if site in can]:
            raise BackendError(
                f"{job.name} has its inputs at {', '.join(chosen)}, and none of these sites can run it",
                remedy="Choose --locality prefer, or replicate the inputs to a site that can.",
            )
        chosen = [site for site in chosen if site in can]
    elif total < wishes.local_bytes:
        return needs
    else:
        chosen = [site for site in sorted(held) if 2 * held[site] >= total and site in can]
    if not chosen:
        return needs
    return replace(needs, sites=tuple(chosen), banned=(), near=wishes.locality == "prefer")


def placed(
    job: Job,
    needs: JobRequirements,
    wishes: Wishes,
    offers: Sequence[DiracSite],
    *,
    failed: Sequence[str] = (),
    anywhere: bool = False,
) -> JobRequirements:
    """The needs, with the sites that are best for the job now.

    Args:
        job: with its inputs.
        needs: what it needs wherever it runs.
        wishes: of the user.
        offers: of the sites.
        failed: sites where it has failed.
        anywhere: where its inputs are does not matter any more, unless the user demands it.

    Raises:
        BackendError: with ``strict``, no site that holds the inputs can run the job.
    """
    if wishes.locality == "strict":
        return elsewhere(near_data(job, needs, wishes, offers), failed, offers)
    needs = elsewhere(needs, failed, offers)
    return needs if anywhere else near_data(job, needs, wishes, offers)


def elsewhere(needs: JobRequirements, failed: Iterable[str], offers: Sequence[DiracSite]) -> JobRequirements:
    """The needs without the sites where the job failed; unchanged where no other site could run it."""
    bad = tuple(dict.fromkeys(failed))
    if not bad:
        return needs
    if needs.sites:
        left = tuple(site for site in needs.sites if site not in bad)
        return replace(needs, sites=left) if left else needs
    other = replace(needs, banned=tuple(dict.fromkeys((*needs.banned, *bad))))
    return other if not offers or fitting(other, offers) else needs
