"""``CommandLineTool`` whose jobs are captured instead of run.

cwltool does the understanding, in ``CommandLineTool.job`` and ``Process._init_job``; a job runner that runs nothing
captures what they resolved. Secondary files get proper URLs, ``outputEval`` sees the worker's checksums, and resources
that are hints are capped.

To be dropped when cwltool can resolve a job without running it, and offers ``_init_job`` publicly.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cwltool.command_line_tool import CommandLineTool
from cwltool.process import shortname

from gridcwl.cwl.access import encode_secondary_files, name_literals
from gridcwl.cwl.listing import ListingFs, add_checksums, name_as_seen
from gridcwl.cwl.patches.upstream import Upstream
from gridcwl.cwl.resources import LimitError, capped, fits
from gridcwl.cwl.sources import place
from gridcwl.errors import DocumentError

if TYPE_CHECKING:
    from cwltool.builder import Builder
    from cwltool.process import Process

    from gridcwl.cwl.context import JobContext

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/utils.py#L553",
        "HasReqsHints.get_requirement",
        "2a43dfebf57a1b2c",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/command_line_tool.py#L444",
        "CommandLineTool.make_job_runner",
        "14170d9c0686210a",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/command_line_tool.py#L843",
        "CommandLineTool.job",
        "c7b1791bedb7f88b",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/command_line_tool.py#L1331",
        "CommandLineTool.collect_output",
        "f7e475a68d6f819a",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L769",
        "Process._init_job",
        "8349a28f69ac5b20",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L1013",
        "Process.evalResources",
        "8483f51db37c06df",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/job.py#L492",
        "JobBase.extract_environment",
        "822abc9177d03abd",
    ),
)
_CUDA = "http://commonwl.org/cwltool#CUDARequirement"

log = logging.getLogger("gridcwl.cwl")

_MADE_UP = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The name that cwltool gives to what has none."""


class CapturedJob:
    """Stands where cwltool would put its job runner; keeps what ``CommandLineTool.job`` resolves."""

    def __init__(
        self, builder: Builder, _inputs: Any, _make_mapper: Any, requirements: Any, hints: Any, name: str
    ) -> None:
        self.builder = builder
        self.requirements = requirements
        self.hints = hints
        self.name = name
        self.command_line: list[str] = []
        self.environment: dict[str, str] = {}
        # with a name, or cwltool would make one up for each job
        self.generatefiles: dict[str, Any] = {
            "class": "Directory",
            "listing": [],
            "basename": "out",
            "location": "_:out",
        }
        self.stdin: str | None = None
        self.stdout: str | None = None
        self.stderr: str | None = None
        self.timelimit: int | None = None
        self.networkaccess = False
        self.inplace_update = False
        self.mpi_procs: int | None = None
        self.successCodes: list[int] = []
        self.temporaryFailCodes: list[int] = []
        self.permanentFailCodes: list[int] = []

    def prepare_environment(self, context: JobContext, required: Mapping[str, str]) -> None:
        """Called by cwltool with the evaluated EnvVarRequirement."""
        from cwltool.job import JobBase

        self.environment = dict(JobBase.extract_environment(context, required))


class GridTool(CommandLineTool):  # type: ignore[misc]
    """cwltool's CommandLineTool, whose jobs are captured instead of run."""

    _known_requirements: tuple[Any, Any, tuple[int, int], dict[str, tuple[Any, bool | None]]] | None = None
    """Requirements, hints and how many there were, and what was found in them."""

    def get_requirement(self, feature: str) -> tuple[Any, bool | None]:
        """As cwltool's, of which each job asks about twenty times; remembered until there are others."""
        known, counts = self._known_requirements, (len(self.requirements), len(self.hints))
        if known is None or not (known[0] is self.requirements and known[1] is self.hints and known[2] == counts):
            known = self._known_requirements = (self.requirements, self.hints, counts, {})
        found = known[3]
        if feature not in found:
            found[feature] = super().get_requirement(feature)
        return found[feature]

    def make_job_runner(self, context: JobContext) -> type[CapturedJob]:
        """Let cwltool check that the tool may run with or without its container; then capture."""
        super().make_job_runner(context)
        return CapturedJob

    def evalResources(self, builder: Builder, context: JobContext) -> dict[str, float]:  # noqa: N802  cwltool's name
        """As cwltool's; of what is only a hint, or may be capped, at most what the place has."""
        try:
            given: dict[str, float] = super().evalResources(builder, context)
        except LimitError as error:
            raise DocumentError(f"{self._place_of_limit(error.field)}{error.message}", remedy=error.remedy) from error
        largest = getattr(context, "largest", None)  # the context is cwltool's own where only inputs are looked at
        if largest is None or fits(given, largest):
            return given
        _, wanted = self.get_requirement("ResourceRequirement")
        _, graphics = self.get_requirement(_CUDA)
        cap = context.cap_resources
        given, less = capped(given, largest, cores_and_ram=cap or not wanted, gpus=cap or not graphics)
        if less and self.tool["id"] not in context.capped:
            context.capped.add(self.tool["id"])
            name = shortname(self.tool["id"]) or self.tool["id"]
            if _MADE_UP.fullmatch(name):  # the tool stands in the step that runs it
                name = f"{place(self.tool)} the tool".lstrip()
            log.warning("%s asks for %s", name, "; for ".join(less))
        return given

    def _place_of_limit(self, field: str) -> str:
        """Where the requirement or hint has this field, with a space behind; nothing for one of the input object's."""
        for requirement in (self.get_requirement(name)[0] for name in ("ResourceRequirement", _CUDA)):
            if requirement is not None and field in requirement and (written := place(requirement, field)):
                return f"{written} "
        return ""

    def _init_job(self, joborder: dict[str, Any], context: JobContext) -> Builder:
        """As cwltool's; the secondary files that it found get their proper URLs before they are staged."""
        builder = super()._init_job(joborder, context)
        encode_secondary_files([builder.files, *(binding.get("datum") for binding in builder.bindings)])
        return builder

    def collect_output(self, schema: Any, builder: Builder, *rest: Any, **named: Any) -> Any:
        """As cwltool's, but for ``outputEval``: it sees the checksums that the worker took, and may give literals.

        Those are named before cwltool asks where they lie.
        """
        outer, evaluate = vars(builder).get("do_eval"), builder.do_eval

        def named_literals(expression: Any, *arguments: Any, **more: Any) -> Any:
            if isinstance(builder.fs_access, ListingFs):
                add_checksums(more.get("context"), builder.fs_access)
            value = evaluate(expression, *arguments, **more)
            if isinstance(builder.fs_access, ListingFs):
                name_as_seen(value, builder.fs_access)
            name_literals(value)
            return value

        builder.do_eval = named_literals
        try:
            return super().collect_output(schema, builder, *rest, **named)
        finally:
            del builder.do_eval  # restored as an attribute, it would tie the builder to itself
            if outer is not None:
                builder.do_eval = outer


def init_job(process: Process, inputs: dict[str, Any], context: JobContext) -> Builder:
    """The builder of one invocation, whose ``job`` is the input object with defaults filled in and checked."""
    return process._init_job(inputs, context)
