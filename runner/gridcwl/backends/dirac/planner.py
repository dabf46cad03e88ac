"""Where the jobs of a plan could run at DIRAC, what would be moved there, and their descriptions. Submits nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from gridcwl.backends.batch import names
from gridcwl.backends.dirac import jdl, matching
from gridcwl.backends.dirac.matching import JobRequirements, Limits, Wishes
from gridcwl.backends.dirac.server import Server
from gridcwl.backends.dirac.sites import DiracSite
from gridcwl.backends.views import StepJobs, StepPlan
from gridcwl.errors import GridCWLError
from gridcwl.model import Job

_MOST = 1000
"""Jobs of one submission, at most."""


@dataclass(frozen=True, slots=True)
class DiracPlanner:
    """Implements ``gridcwl.backends.views.Planner``."""

    language: ClassVar[str] = "JDL"
    outputs: ClassVar[str] = "DIRAC's output sandboxes"
    server: Server
    wishes: Wishes
    is_local: bool = False
    """DIRAC's local mode, which needs no credential."""

    def plan(self, steps: Iterable[StepJobs]) -> Iterator[StepPlan]:
        """See ``Planner.plan``."""
        offers, limits, most = self.server.offers(), self.server.limits(), self.server.most_jobs()
        for step in steps:
            yield self._planned(step, offers, limits, min(most or _MOST, _MOST))

    def credential(self) -> str:
        """See ``Planner.credential``."""
        ours = self.server.credential()
        if self.is_local:
            return "none is needed"
        return f"{ours.user}, group {ours.group}, ends {ours.ends:%Y-%m-%d %H:%M} UTC"

    def _planned(self, step: StepJobs, offers: Sequence[DiracSite], limits: Limits, most: int) -> StepPlan:
        job, wishes = step.sample, self.wishes
        try:
            needs = matching.near_data(job, matching.needs_of(job, wishes, limits, offers), wishes, offers)
        except GridCWLError as error:
            return StepPlan(problem=error.message)
        fitting = matching.fitting(needs, offers)
        return StepPlan(
            request=_request(needs),
            sites=tuple(fitting),
            excluded=tuple(
                (offer.site, str(matching.why_not(needs, offer))) for offer in offers if offer.site not in fitting
            ),
            to_move=self._to_move(step.jobs, needs, offers) if step.jobs else (0, 0),
            notes=tuple(matching.not_honoured(job, wishes, limits)),
            submissions=None if step.number is None else -(-step.number // most),
            description=_description(job, needs),
        )

    def _to_move(self, jobs: Sequence[Job], needs: JobRequirements, offers: Sequence[DiracSite]) -> tuple[int, int]:
        """The input bytes that are not beside the sites where jobs go, each as near to its own inputs as it may."""
        anywhere = replace(needs, sites=(), near=False) if needs.near else needs
        moved = []
        for job in jobs:
            own = matching.near_data(job, anywhere, self.wishes, offers)
            moved.append(matching.bytes_to_move(job, matching.fitting(own, offers)))
        return sum(least for least, _ in moved), sum(most for _, most in moved)


def _request(needs: JobRequirements) -> str:
    parts = [f"{needs.processors} processor(s)"]
    parts += [f"{needs.ram_mib} MiB"] if needs.ram_mib else []
    parts += [f"{needs.cpu_time_s} s"] if needs.cpu_time_s else []
    parts += [f"tags {', '.join(needs.tags)}"] if needs.tags else []
    parts += [f"priority {needs.priority}"] if needs.priority is not None else []
    return ", ".join(parts)


def _description(job: Job, needs: JobRequirements) -> str:
    prefix, number = names.split(job.id)
    return jdl.text(jdl.Batch(job.run, prefix, (str(number),), "", needs, "SB:where-the-sandbox-is"))
