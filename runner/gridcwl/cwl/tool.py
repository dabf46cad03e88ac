"""A CommandLineTool and its inputs to a Job; a JobResult to the tool's output object.

cwltool does the understanding: a job runner that runs nothing captures what cwltool resolved, and after the run
cwltool's own collection evaluates globs, secondaryFiles and outputEval against the listing that the worker sent.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cwltool.process import shortname
from cwltool.utils import normalizeFilesDirs

from gridcwl.cwl import origins
from gridcwl.cwl.access import InputFs, name_directories
from gridcwl.cwl.context import JobContext
from gridcwl.cwl.demands import shm_bytes
from gridcwl.cwl.links import made
from gridcwl.cwl.listing import ListingFs, links_out, note_directories, settle
from gridcwl.cwl.messages import NOT_THERE, SEVERAL
from gridcwl.cwl.output_objects import check_outputs
from gridcwl.cwl.patches.command_line_tool import CapturedJob, GridTool, init_job
from gridcwl.cwl.placement import placement_of
from gridcwl.cwl.problems import problems
from gridcwl.cwl.processes import with_processes
from gridcwl.cwl.remote import Remote
from gridcwl.cwl.schema_errors import of_output
from gridcwl.cwl.software import with_modules
from gridcwl.cwl.sources import place
from gridcwl.cwl.staged import plain_word, staged_files
from gridcwl.errors import DocumentError, ExpressionError, GridCWLError, OutputError, UnsupportedError
from gridcwl.model import (
    ExitCodes,
    Image,
    Job,
    JobDirectories,
    JobId,
    JobResult,
    OutputRules,
    Resources,
    RunId,
    StagedFile,
    confinement,
)
from gridcwl.model.objects import make_lean
from gridcwl.worker.limits import OUTPUT_OBJECT

if TYPE_CHECKING:
    from cwltool.builder import Builder
    from cwltool.process import Process

CwlObject = dict[str, Any]
"""An input or output object, or a part of one: what CWL passes around."""

log = logging.getLogger("gridcwl.cwl")

_LISTED = 10
_SHM_SIZE = "http://commonwl.org/cwltool#ShmSize"
_OUTPUT_RECORD = re.compile(r"output record\. the '([^']+)' field is not valid because\s+([\s\S]*?)\n in (\{[\s\S]*)")


def make_process(document: Any, loading: Any) -> Process:
    """The object for one process of a document; cwltool's ``construct_tool_object``."""
    from cwltool.workflow import default_make_tool

    if not isinstance(document, dict):
        return default_make_tool(document, loading)
    return made(document, loading, GridTool if document.get("class") == "CommandLineTool" else default_make_tool)


@dataclass(frozen=True, slots=True)
class ResolvedJob:
    """A Job together with what is needed to read its result."""

    job: Job
    tool: Process
    made: Builder | Callable[[], Builder]
    """cwltool's builder, or what makes it when it is asked for."""
    reusable: bool = True
    """Its result may stand for that of the same job in another run (WorkReuse)."""
    remote: Remote | None = None
    """Registers the directories that the job made at the site."""

    @property
    def builder(self) -> Builder:
        """cwltool's, which evaluates the tool's expressions for this job."""
        return self.made() if callable(self.made) else self.made


def resolve(
    tool: Process,
    inputs: CwlObject,
    context: JobContext,
    *,
    job_id: JobId,
    run: RunId,
    name: str,
    toplevel: bool,
    ram_mib: int | None = None,
) -> ResolvedJob:
    """The Job that runs this tool on these inputs.

    Args:
        tool: a loaded CommandLineTool.
        inputs: plain dicts and lists; not changed.
        context: of the run.
        job_id: the id that the job gets.
        run: the run that it belongs to.
        name: for people.
        toplevel: the tool is the document itself, not a step: secondary files are looked for beside its inputs.
        ram_mib: memory for the job instead of what the tool asks for; its expressions see it, too.

    Raises:
        InputError: the inputs do not fit the tool.
        UnsupportedError: the tool needs what is unavailable here.
        ExpressionError: an expression failed.
    """
    with problems(DocumentError, f"{name} cannot be started"):
        own = _own_context(context, inputs, str(job_id), toplevel=toplevel, ram_mib=ram_mib)
        captured: CapturedJob = next(iter(tool.job(inputs, None, own)))
        job = _described(captured, tool, inputs, own, context, job_id=job_id, run=run, name=name)
        job = with_processes(job, tool, captured.builder)
        reusable = _reusable(tool, captured.builder) and not job.in_place
    return ResolvedJob(job, tool, captured.builder, reusable, context.remote)


def _described(
    captured: CapturedJob,
    tool: Process,
    inputs: CwlObject,
    own: JobContext,
    context: JobContext,
    *,
    job_id: JobId,
    run: RunId,
    name: str,
) -> Job:
    """The Job of what cwltool has resolved; the arguments are those of :func:`resolve`, and the job's own context."""
    builder = captured.builder
    command = tuple(str(word) for word in _mpi_prefix(captured, own) + captured.command_line)
    _check_captured(captured, command, context, name)
    directories = JobDirectories(out=str(builder.outdir), tmp=str(builder.tmpdir), inputs=str(builder.stagedir))
    listing = captured.generatefiles["listing"]
    staged = tuple(staged_files(builder, listing, name, context.remote, tool, inputs))
    image = _image(tool, own)
    _check_confinement(tool, captured, image, name)
    return Job(
        id=job_id,
        run=run,
        name=name,
        command=command if image else with_modules(command, tool, own.software),
        image=image,
        environment={str(name): str(value) for name, value in captured.environment.items()},
        directories=directories,
        staged=staged,
        stdin=_stdin(captured.stdin, staged, name),
        stdout=plain_word(captured.stdout),
        stderr=plain_word(captured.stderr),
        outputs=output_rules(tool, builder, by_port=context.remote is not None),
        resources=_resources(captured, tool, name),
        exit_codes=_exit_codes(captured),
        in_place=captured.inplace_update,
        placement=placement_of(tool, builder.do_eval, name),
        trusted=own.trusted_storage,
    )


def _own_context(
    context: JobContext, inputs: CwlObject, job_id: str, *, toplevel: bool, ram_mib: int | None
) -> JobContext:
    """The run's context for one job."""
    own: JobContext = context.copy()
    own.name = job_id
    own.toplevel = toplevel
    own.make_fs_access = partial(InputFs, inputs=inputs, remote=context.remote)
    if ram_mib is not None:
        own.select_resources = partial(_with_memory, ram_mib)
    return own


def _check_captured(captured: CapturedJob, command: tuple[str, ...], context: JobContext, name: str) -> None:
    """See that there is something to run, and that it leaves its inputs alone where they are in a store.

    Raises:
        DocumentError, UnsupportedError: it is not so.
    """
    if not command:
        raise DocumentError(
            f"{name} has an empty command line", remedy="Give the tool a baseCommand, arguments or an inputBinding."
        )
    if captured.inplace_update and context.remote is not None:
        raise UnsupportedError(
            f"{name} changes its inputs in place (InplaceUpdateRequirement), and files in a store never change",
            remedy="Let the tool write another file, or run the document with --store local.",
        )


def _exit_codes(captured: CapturedJob) -> ExitCodes:
    return ExitCodes(
        success=tuple(map(int, captured.successCodes)),
        temporary_failure=tuple(map(int, captured.temporaryFailCodes)),
        permanent_failure=tuple(map(int, captured.permanentFailCodes)),
    )


def _check_confinement(tool: Process, captured: CapturedJob, image: Image | None, name: str) -> None:
    """See that a tool of an untrusted document asks for nothing that it may not have.

    Raises:
        UnsupportedError: it does.
    """
    allowed = confinement.current()
    if allowed is None:
        return
    requirement = tool.get_requirement("DockerRequirement")[0] or {}
    builds = any(requirement.get(field) for field in ("dockerFile", "dockerLoad", "dockerImport"))
    refused = ""
    if image is None:
        refused, remedy = "names no container image", "Give it a DockerRequirement with dockerPull."
    elif builds and not allowed.build_images:
        refused, remedy = "has its image built or loaded (dockerFile, dockerLoad, dockerImport)", "Use dockerPull."
    elif captured.inplace_update and not allowed.in_place:
        refused, remedy = "changes its inputs in place (InplaceUpdateRequirement)", "Let it write another file."
    elif captured.networkaccess and not allowed.network:
        refused, remedy = "uses the network (NetworkAccess)", "Give it its data as input files."
    if refused:
        raise UnsupportedError(f"{name} {refused}, which this service does not allow", remedy=remedy)


def _with_memory(ram_mib: int, request: Mapping[str, float], _context: JobContext) -> dict[str, float]:
    """What ``Process.evalResources`` of cwltool makes of a request, with other memory."""
    made = {
        "cores": request["coresMin"],
        "ram": ram_mib,
        "tmpdirSize": math.ceil(request["tmpdirMin"]),
        "outdirSize": math.ceil(request["outdirMin"]),
    }
    if "cudaDeviceCountMin" in request:
        made["cudaDeviceCount"] = request["cudaDeviceCountMin"]
    return made


def _reusable(tool: Process, builder: Builder) -> bool:
    """https://www.commonwl.org/v1.2/CommandLineTool.html#WorkReuse"""
    requirement, _ = tool.get_requirement("WorkReuse")
    return requirement is None or bool(builder.do_eval(requirement.get("enableReuse", True)))


def collect(resolved: ResolvedJob, result: JobResult) -> CwlObject:
    """The tool's output object, from what the worker found.

    Raises:
        OutputError: a promised output is not there, or is not of the promised type.
        ExpressionError: an ``outputEval`` or another output expression failed.
    """
    builder = resolved.builder
    listing = ListingFs(builder.outdir, result, resolved.remote)
    builder.fs_access = listing
    builder.make_fs_access = lambda _basedir: listing
    with (
        _lacking(resolved, result),
        problems(OutputError, f"{resolved.job.name} ended, but its outputs cannot be collected"),
    ):
        outputs: CwlObject = resolved.tool.collect_output_ports(
            resolved.tool.tool["outputs"],
            builder,
            builder.outdir,
            result.exit_code if result.exit_code is not None else 0,
            compute_checksum=False,
            jobname=resolved.job.name,
        )
        for port in resolved.tool.tool["outputs"]:  # cwl.output.json need not name what is null
            outputs.setdefault(shortname(port["id"]), None)
        settle(outputs, listing)
        check_outputs(outputs, resolved.job.name)
        _check_strangers(listing, result, builder, resolved.job.name)
        if result.escaped:
            _refuse_links_out(outputs, listing, resolved)
        if resolved.remote is not None:
            note_directories(outputs, listing, resolved.remote)
            resolved.remote.settle(outputs)
    make_lean(outputs)
    return outputs


def _check_strangers(listing: ListingFs, result: JobResult, builder: Builder, name: str) -> None:
    """See that what an output object names elsewhere is an input passed through, or of the job's own making."""
    if not listing.strangers:
        return
    own = {entry.location for entry in result.files} | {result.outdir}
    written = any(entry.path == OUTPUT_OBJECT for entry in result.files)  # by the tool itself, not by an expression
    inputs = origins.Origins(builder.job, beside=not written)
    for location in listing.strangers:
        if location not in own and not inputs.has(location):
            raise origins.refused(location, f"{name} ended, but its output object")


def _refuse_links_out(outputs: CwlObject, listing: ListingFs, resolved: ResolvedJob) -> None:
    """https://www.commonwl.org/v1.2/CommandLineTool.html#CommandOutputBinding: such a link is an error."""
    patterns = [*_globs(_output_bindings(resolved.tool.tool["outputs"]), resolved.builder)]
    if found := links_out(outputs, listing, patterns):
        raise OutputError(
            f"{resolved.job.name} left symbolic links that lead out of its output directory: {', '.join(found[:5])}",
            remedy="Links may lead to the tool's inputs and outputs only. Let the tool copy the file instead.",
        )


@contextmanager
def _lacking(resolved: ResolvedJob, result: JobResult) -> Iterator[None]:
    """Say of an output that is not there what is there instead, and of all what was not followed."""
    try:
        yield
    except OutputError as error:
        if NOT_THERE in error.message:
            tops = {entry.path: entry.kind == "directory" for entry in result.files if "/" not in entry.path}
            left = result.left or [f"{path}/" if folder else path for path, folder in tops.items()]
            nothing = "" if result.escaped else "The tool left nothing."
            error.remedy = f"The tool left: {', '.join(left)}." if left else nothing
        elif SEVERAL in error.message:
            matched = [entry.path for entry in result.files if entry.kind == "file"]
            error.remedy = f"{error.remedy} The tool left: {', '.join(matched[:_LISTED])}."
        elif wrong := _OUTPUT_RECORD.search(error.message):
            _explain_record(error, wrong, resolved)
        if result.escaped and not error.remedy.startswith("Links"):
            escaped = f"What leads out of its directory is not taken: {', '.join(result.escaped)}."
            error.remedy = f"{error.remedy} {escaped}".strip()
        raise


def _explain_record(error: OutputError, wrong: re.Match[str], resolved: ResolvedJob) -> None:
    """Say of an output that is not of its type where it is declared, and what it is."""
    name, why = wrong[1], " ".join(wrong[2].split())
    port = next((one for one in resolved.tool.tool["outputs"] if shortname(one["id"]) == name), None)
    try:
        value = json.dumps(json.loads(wrong[3]).get(name))
    except ValueError:
        value = "of another type"
    at = f"{place(port, 'id')} " if port is not None else ""
    error.message = f"{resolved.job.name} ended, but its outputs cannot be collected: {at}{of_output(name, why, value)}"
    if value == "null":
        error.remedy = "Give it an outputBinding, write it to cwl.output.json, or make its type optional."


def evaluate(tool: Process, inputs: CwlObject, context: JobContext, *, name: str, toplevel: bool) -> CwlObject:
    """The output object of an ExpressionTool.

    Raises:
        ExpressionError: the expression failed or did not give an object.
    """
    with problems(DocumentError, f"{name} cannot be evaluated"):
        own = context.copy()
        own.toplevel = toplevel
        own.make_fs_access = partial(InputFs, inputs=inputs, remote=context.remote)
        builder = init_job(tool, inputs, own)
        normalizeFilesDirs(builder.job)
        outputs = builder.do_eval(tool.tool["expression"])
        name_directories(outputs)
        normalizeFilesDirs(outputs)
        origins.check(outputs, origins.Origins(builder.job), f"The expression of {name}")
        if not isinstance(outputs, dict):
            raise ExpressionError(f"{name}: its expression gives {type(outputs).__name__}, not an object")
        check_outputs(outputs, name)
        if context.remote is not None:
            context.remote.settle(outputs)
        return outputs


def _mpi_prefix(captured: CapturedJob, context: JobContext) -> list[str]:
    """The launcher in front of the command, as cwltool's MPIRequirement has it (cwltool/job.py, ``_execute``)."""
    if not captured.mpi_procs:
        return []
    mpi = context.mpi_config
    mpi.pass_through_env_vars(captured.environment)
    mpi.set_env_vars(captured.environment)
    return [mpi.runner, mpi.nproc_flag, str(captured.mpi_procs), *mpi.extra_flags]


def _stdin(path: str | None, staged: tuple[StagedFile, ...], name: str) -> str | None:
    if not path:
        return None
    if not any(entry.target == path for entry in staged):
        raise DocumentError(f"{name} reads stdin from {path}, which is none of its inputs")
    return str(path)


def image_of(tool: Process, context: JobContext) -> Image | None:
    """The image of a tool's jobs, as far as it is known without one of them; None if there is none."""
    try:
        image = _image(tool, context)
    except GridCWLError:
        return None
    return None if image is None or "$(" in image.id else image


def _image(tool: Process, context: JobContext) -> Image | None:
    requirement, _ = tool.get_requirement("DockerRequirement")
    if requirement is None or not context.use_container:
        return None
    pull = plain_word(requirement.get("dockerPull"))
    text = plain_word(requirement.get("dockerFile"))
    image_id = plain_word(requirement.get("dockerImageId")) or pull
    if not image_id:
        origin = text or requirement.get("dockerLoad") or requirement.get("dockerImport")
        if not origin:
            raise DocumentError(
                f"{place(requirement, 'class')} the DockerRequirement names no image".lstrip(),
                remedy="Give it dockerPull, dockerLoad, dockerFile, dockerImport or dockerImageId.",
            )
        image_id = f"gridcwl/{hashlib.sha256(str(origin).encode()).hexdigest()[:16]}"
    return Image(
        id=image_id,
        pull=pull,
        load=plain_word(requirement.get("dockerLoad")),
        rootfs=plain_word(requirement.get("dockerImport")),
        file=text,
    )


def _resources(captured: CapturedJob, tool: Process, name: str) -> Resources:
    given = captured.builder.resources
    shared, _ = tool.get_requirement(_SHM_SIZE)
    return Resources(
        cores=float(given["cores"]),
        ram_mib=int(given["ram"]),
        tmp_mib=int(given["tmpdirSize"]),
        out_mib=int(given["outdirSize"]),
        time_limit_s=int(captured.timelimit)
        if captured.timelimit
        else None,  # zero is no limit: CWL v1.2, ToolTimeLimit
        network=bool(captured.networkaccess),
        gpus=int(given.get("cudaDeviceCount", 0)),
        shm_bytes=shm_bytes(str(shared["shmSize"]), name) if shared else None,
    )


def output_rules(tool: Process, builder: Builder, *, by_port: bool) -> OutputRules:
    """What the worker has to keep: the globs, or everything where only an expression can tell."""
    bindings = list(_output_bindings(tool.tool["outputs"]))
    ports = _ports(tool.tool["outputs"], builder) if by_port else {}
    if any(field in binding for binding in bindings for field in ("outputEval", "secondaryFiles")):
        return OutputRules(None, tuple(_globs((b for b in bindings if b.get("loadContents")), builder)), ports)
    globs = list(_globs(bindings, builder))
    contents = _globs((b for b in bindings if b.get("loadContents")), builder)
    return OutputRules(None if "." in globs else tuple(globs), tuple(contents), ports)


def _ports(ports: list[CwlObject], builder: Builder) -> dict[str, tuple[str, ...]]:
    """The patterns of each output, by its name."""
    return {shortname(port["id"]): tuple(_globs(_output_bindings([port]), builder)) for port in ports}


def _output_bindings(ports: list[CwlObject]) -> Iterator[CwlObject]:
    """Every output binding, with the fields of records, and with ``secondaryFiles`` where the port has them."""
    for port in ports:
        binding = port.get("outputBinding", {})
        yield {**binding, "secondaryFiles": True} if "secondaryFiles" in port else binding
        if isinstance(port["type"], dict) and port["type"].get("type") == "record":
            yield from _output_bindings(port["type"]["fields"])


def evaluated_globs(tool: Any, inputs: CwlObject, context: JobContext, name: str) -> Callable[[Any], list[str]]:
    """What gives the patterns of an output of a tool that is the whole document; raises as :func:`resolve`."""
    return globs_of(resolve(tool, inputs, context, job_id=JobId(""), run=RunId(""), name=name, toplevel=True))


def globs_of(resolved: ResolvedJob) -> Callable[[Any], list[str]]:
    """What gives the patterns of an output of the job."""
    return lambda port: list(_globs([port["outputBinding"]], resolved.builder))


def _globs(bindings: Any, builder: Builder) -> Iterator[str]:
    for binding in bindings:
        written = binding.get("glob", ())
        for pattern in [written] if isinstance(written, str) else written:
            value = builder.do_eval(pattern)
            for glob in value if isinstance(value, list) else [value]:
                if not isinstance(glob, str) or not glob:
                    continue  # refused with a message when the outputs are collected
                if glob == builder.outdir:
                    yield "."
                yield str(glob.removeprefix(builder.outdir + "/"))
