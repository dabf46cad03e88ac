"""The jobs of a run and their outputs: by a tool's template where it has one, else by cwltool alone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gridcwl.cwl.field_template import NotFast
from gridcwl.cwl.job_template import JobTemplate
from gridcwl.cwl.tool import CwlObject, ResolvedJob, collect, resolve
from gridcwl.model import Job, JobId, JobResult, RunId

if TYPE_CHECKING:
    from cwltool.process import Process

    from gridcwl.cwl.context import JobContext
    from gridcwl.cwl.output_template import OutputTemplate

log = logging.getLogger("gridcwl.cwl")


class JobResolver:
    """Resolves the jobs of one run, and collects what they made."""

    def __init__(self, context: JobContext) -> None:
        """Prepare.

        Args:
            context: of the run; it does not change any more.
        """
        self._context = context
        self._templates: dict[int, JobTemplate | None] = {}
        """By the tool's id, from its second job on; None for a tool that has none."""
        self._samples: dict[int, Job] = {}
        self._outputs: dict[int, OutputTemplate | None] = {}
        """Those that have been compared with cwltool."""

    def resolve(
        self,
        tool: Process,
        inputs: CwlObject,
        *,
        job_id: JobId,
        run: RunId,
        name: str,
        toplevel: bool,
        ram_mib: int | None = None,
    ) -> ResolvedJob:
        """As :func:`gridcwl.cwl.tool.resolve`, with the same arguments and errors."""
        template = self._templates.get(id(tool)) if ram_mib is None else None
        if template is not None and (made := template.resolve(inputs, job_id, run, name)) is not None:
            return made
        resolved = resolve(
            tool, inputs, self._context, job_id=job_id, run=run, name=name, toplevel=toplevel, ram_mib=ram_mib
        )
        if ram_mib is None and id(tool) not in self._templates:
            self._learn(tool, inputs, resolved)
        return resolved

    def collect(self, resolved: ResolvedJob, result: JobResult) -> CwlObject:
        """As :func:`gridcwl.cwl.tool.collect`, with the same errors."""
        key = id(resolved.tool)
        template = self._templates.get(key)
        if template is None or template.outputs is None:
            return collect(resolved, result)
        known = self._outputs.get(key)
        if known is not None and (made := known.collect(resolved, result)) is not None:
            return made
        whole = collect(resolved, result)
        if key not in self._outputs and (made := template.outputs.collect(resolved, result)) is not None:
            same = list(whole.items()) == list(made.items())
            self._outputs[key] = template.outputs if same else None
            if not same:
                log.debug("%s: its outputs are not those of its template", resolved.job.name)
        return whole

    def _learn(self, tool: Process, inputs: CwlObject, resolved: ResolvedJob) -> None:
        """Make a template of a tool's first job, and compare it with its second."""
        job = resolved.job
        sample = self._samples.pop(id(tool), None)
        if sample is None:
            self._samples[id(tool)] = job
            return
        self._templates[id(tool)] = None
        try:
            template = JobTemplate(tool, self._context, sample, resolved.builder, reusable=resolved.reusable)
        except NotFast:
            return
        made = template.resolve(inputs, job.id, job.run, job.name)
        if made is not None and _same(made.job, job):
            self._templates[id(tool)] = template
        else:
            log.debug("%s: its job is not that of its template", job.name)


def _same(one: Job, other: Job) -> bool:
    return one == other and repr(one) == repr(other)  # 1 == 1.0 == True
