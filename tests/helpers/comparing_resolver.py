"""A run's resolver that takes both ways for every job, by template and by cwltool, and sees that they are the same."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from gridcwl.cwl.field_template import NotFast
from gridcwl.cwl.job_template import JobTemplate
from gridcwl.cwl.resolver import JobResolver
from gridcwl.cwl.tool import ResolvedJob, collect, resolve
from gridcwl.errors import GridCWLError
from gridcwl.model import JobResult
from gridcwl.model.codec import to_json

COMPARED: Counter[str] = Counter()
"""How many jobs and output objects a template has made, in this process."""


class ComparingResolver(JobResolver):
    """Makes the template of each tool from its first job, and compares all of its jobs with those of cwltool."""

    def resolve(self, tool: Any, inputs: Any, **how: Any) -> ResolvedJob:
        """The job that cwltool made.

        Raises:
            AssertionError: that of the template is another one.
        """
        resolved = resolve(tool, inputs, self._context, **how)
        if how.get("ram_mib") is not None:
            return resolved
        if id(tool) not in self._templates:
            self._templates[id(tool)] = self._template(tool, resolved)
        template = self._templates[id(tool)]
        made = None if template is None else template.resolve(inputs, how["job_id"], how["run"], how["name"])
        COMPARED["jobs"] += made is not None
        COMPARED["all jobs"] += 1
        if made is None:
            return resolved
        assert to_json(made.job) == to_json(resolved.job), "the job of the template is another one"
        assert made.reusable == resolved.reusable
        assert text(state(made.builder)) == text(state(resolved.builder)), "the template's builder is another one"
        self._made = {**getattr(self, "_made", {}), resolved.job.id: made}
        return resolved

    def _template(self, tool: Any, resolved: ResolvedJob) -> JobTemplate | None:
        try:
            return JobTemplate(tool, self._context, resolved.job, resolved.builder, reusable=resolved.reusable)
        except NotFast:
            return None

    def collect(self, resolved: ResolvedJob, result: JobResult) -> Any:
        """The outputs that cwltool collected.

        Raises:
            AssertionError: those of the template are others.
        """
        template = self._templates.get(id(resolved.tool))
        made = getattr(self, "_made", {}).get(resolved.job.id)
        if template is None or made is None:
            return collect(resolved, result)
        quick = None if template.outputs is None else template.outputs.collect(made, result)
        COMPARED["all outputs"] += 1
        try:
            outputs = collect(resolved, result)
        except GridCWLError as error:
            if quick is not None:
                raise AssertionError(f"the template collects what is refused: {error.message}") from error
            raise
        assert text(collect(made, result)) == text(outputs), "the template's builder collects other outputs"
        if quick is not None:
            COMPARED["outputs"] += 1
            assert text(quick) == text(outputs), "the template collects other outputs"
        return outputs


def state(builder: Any) -> dict[str, Any]:
    """All of a builder that outputs depend on."""
    mapper = builder.pathmapper
    return {
        "job": builder.job,
        "files": builder.files,
        "resources": builder.resources,
        "places": [builder.outdir, builder.tmpdir, builder.stagedir],
        "mapped": {location: list(entry) for location, entry in mapper.items()},
        "requirements": builder.requirements,
        "listing": builder.loadListing,
        "version": builder.cwlVersion,
    }


def text(value: Any) -> str:
    """JSON with its keys in their order."""
    return json.dumps(value, default=repr)
