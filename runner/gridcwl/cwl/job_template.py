"""Job templates: what the jobs of one tool have in common is resolved once, and each job only puts its values in.

cwltool resolves every job from the beginning: it copies, validates, binds and evaluates all of a tool for each shard of
a scatter. Most of it is the same for all shards. A template has that part, taken from a job that cwltool resolved, and
what an input's value becomes on the command line. It exists only for tools whose jobs differ in nothing else, and it
takes only values that cwltool takes as they are; everything else, and everything wrong, is left to cwltool.

A template is compared with cwltool on the next job before it is used, and its collected outputs on the first result.
Expressions are evaluated by cwltool's builder in both ways.
"""

from __future__ import annotations

import os.path
import re
import shlex
from collections.abc import Callable, Mapping
from functools import cmp_to_key, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cwltool.mpi import MPIRequirementName
from cwltool.pathmapper import MapperEnt
from cwltool.utils import aslist, cmp_like_py2

from gridcwl.cwl.access import InputFs
from gridcwl.cwl.field_template import FILE, InputField, Kind, NotFast, fields_of, file_of, is_expression
from gridcwl.cwl.output_template import OutputTemplate
from gridcwl.cwl.patches.path_mapper import StagePathMapper
from gridcwl.cwl.placement import kind_of
from gridcwl.cwl.processes import is_processes
from gridcwl.cwl.staged import staged_input
from gridcwl.cwl.tool import ResolvedJob, output_rules
from gridcwl.model import Job, JobId, RunId, StagedFile, confinement

if TYPE_CHECKING:
    from cwltool.builder import Builder
    from cwltool.process import Process

    from gridcwl.cwl.context import JobContext

CwlObject = dict[str, Any]

_OTHERWISE = ("InitialWorkDirRequirement", "InplaceUpdateRequirement", MPIRequirementName)
"""Requirements of tools that have no template."""
_CONSTANT = ("ResourceRequirement", "http://commonwl.org/cwltool#CUDARequirement", "ToolTimeLimit", "NetworkAccess")
_CONSTANT_TOO = ("WorkReuse", "http://commonwl.org/cwltool#ShmSize")
_STREAMS = ("stdin", "stdout", "stderr")
_OUTSIDE = re.compile(r"^/|\.\.")
_NUMBER_NAME = re.compile("[0-9]+")
Words = Callable[["Shard"], list[str]]


class Shard:
    """The values of one job."""

    __slots__ = ("_builder", "files", "given", "job", "paths", "template")

    def __init__(self, template: JobTemplate, given: CwlObject) -> None:
        self.template = template
        self.given = given
        self.job: CwlObject = {}
        self.files: list[CwlObject] = []
        self.paths: list[MapperEnt] = []
        self._builder: Builder | None = None

    def builder(self) -> Builder:
        """cwltool's builder with these values, as ``Process._init_job`` makes it."""
        if self._builder is None:
            self._builder = self.template.builder_of(self)
        return self._builder

    def evaluated(self, text: Any) -> Any:
        """The value of a field that may hold an expression."""
        return self.builder().do_eval(text) if is_expression(text) else text


class JobTemplate:
    """Of one tool in one run."""

    def __init__(self, tool: Process, context: JobContext, sample: Job, builder: Builder, *, reusable: bool) -> None:
        """Take what is constant from a job of the tool that cwltool resolved.

        Args:
            tool: see there.
            context: of the run.
            sample: the job.
            builder: of one of the tool's jobs, which is not collected yet.
            reusable: whether results of its jobs may stand for those of equal jobs.

        Raises:
            NotFast: its jobs differ in more than a template knows.
        """
        self._tool, self._context, self._sample = tool, context, sample
        self._builder = {name: value for name, value in vars(builder).items() if name not in ("fs_access", "do_eval")}
        self._resources = dict(builder.resources)
        self._confined = confinement.current()
        self._reusable = reusable
        self._fields = fields_of(tool)
        self._files = [field for field in self._fields.values() if field.kind.item == FILE]
        self._accepts = tool.path_check_mode.value.match
        self._folders = [f"{builder.stagedir}/{number}" for number in range(len(self._files))]
        _check(tool, context, sample)
        shell = tool.get_requirement("ShellCommandRequirement")[0] is not None
        self._command = _merged(_command_of(tool, self._fields), shell=shell)
        self._shell = shell
        self._streams = {name: tool.tool[name] for name in _STREAMS if is_expression(tool.tool.get(name))}
        self._environment = _environment(tool)
        self._constant_rules = not is_expression(tool.tool["outputs"])
        self.outputs = OutputTemplate.of(tool)

    def resolve(self, inputs: CwlObject, job_id: JobId, run: RunId, name: str) -> ResolvedJob | None:
        """The job with these inputs; None if cwltool has to resolve it, or to say what is wrong."""
        if confinement.current() is not self._confined:
            return None
        shard = Shard(self, inputs)
        try:
            self._take(shard)
            job = self._made(shard, job_id, run, name)
        except NotFast:
            return None
        except Exception:  # noqa: BLE001  whatever is wrong, cwltool's own way says it in its words
            return None
        return ResolvedJob(job, self._tool, shard.builder, self._reusable, self._context.remote)

    def builder_of(self, shard: Shard) -> Builder:
        """The builder of a job."""
        from cwltool.builder import Builder

        context = self._context
        made = Builder.__new__(Builder)
        made.__dict__.update(self._builder)
        made.job, made.files, made.bindings = shard.job, shard.files, []
        made.resources = dict(self._resources)
        made.make_fs_access = partial(InputFs, inputs=shard.given, remote=context.remote)
        made.fs_access = made.make_fs_access(context.basedir)
        mapper = StagePathMapper([], context.basedir, made.stagedir, True, remote=context.remote)
        for file, entry in zip(shard.files, shard.paths, strict=True):
            mapper.update(file["location"], *entry)
        made.pathmapper = mapper
        return made

    def _take(self, shard: Shard) -> None:
        """Fill in defaults, and see that each value is what the tool takes."""
        fields, job = self._fields, shard.job
        for name, value in shard.given.items():
            field = fields.get(name)
            if field is None:
                raise NotFast
            job[name] = field.value(value)
        if len(job) < len(fields):
            for name in fields:
                if name not in job:
                    job[name] = fields[name].value(None)
        for field in self._files:
            value = job[field.name]
            if value is None:
                continue
            if field.kind.is_array:
                job[field.name] = made = [file_of(item, self._accepts) for item in value]
                shard.files += made
            else:
                job[field.name] = file = file_of(value, self._accepts)
                shard.files.append(file)

    def _made(self, shard: Shard, job_id: JobId, run: RunId, name: str) -> Job:
        sample = self._sample
        staged = self._staged(shard, name)
        streams = self._evaluated_streams(shard, staged) if self._streams else None
        environment = sample.environment
        if self._environment is not None:
            environment = self._evaluated_environment(shard)
        rules = sample.outputs
        if not self._constant_rules:
            rules = output_rules(self._tool, shard.builder(), by_port=self._context.remote is not None)
        command = self._command_line(shard)
        return Job(
            id=job_id,
            run=run,
            name=name,
            command=command,
            image=sample.image,
            environment=environment,
            directories=sample.directories,
            staged=staged,
            stdin=sample.stdin if streams is None else streams[0],
            stdout=sample.stdout if streams is None else streams[1],
            stderr=sample.stderr if streams is None else streams[2],
            outputs=rules,
            resources=sample.resources,
            exit_codes=sample.exit_codes,
            placement=sample.placement,
            trusted=sample.trusted,
        )

    def _staged(self, shard: Shard, name: str) -> tuple[StagedFile, ...]:
        """Give each file its place, in a folder of its own."""
        files = shard.files
        if len(files) > 1 and len({file["location"] for file in files}) < len(files):
            raise NotFast
        staged = []
        for number, file in enumerate(files):
            if number == len(self._folders):
                self._folders.append(f"{self._builder['stagedir']}/{number}")
            folder, basename = self._folders[number], file["basename"]
            root, extension = os.path.splitext(basename)  # noqa: PTH122  called for each file of a run
            path = f"{folder}/{basename}"
            file["nameroot"], file["nameext"] = root, extension
            file["path"], file["dirname"] = path, folder
            entry, place = staged_input(file, path, self._context.remote, name)
            shard.paths.append(entry)
            staged.append(place)
        return tuple(staged)

    def _command_line(self, shard: Shard) -> tuple[str, ...]:
        words: list[str] = []
        for part in self._command:
            words += part if type(part) is tuple else part(shard)  # type: ignore[operator]
        if self._shell:
            return ("/bin/sh", "-c", " ".join(words))
        if not words:
            raise NotFast
        return tuple(words)

    def _evaluated_streams(self, shard: Shard, staged: tuple[StagedFile, ...]) -> tuple[str | None, ...]:
        made = []
        for name in _STREAMS:
            if name not in self._streams:
                made.append(getattr(self._sample, name))
                continue
            value = shard.evaluated(self._streams[name])
            if type(value) is not str or not value:
                raise NotFast
            if name == "stdin":
                if not any(entry.target == value for entry in staged):
                    raise NotFast
            elif _OUTSIDE.search(value):
                raise NotFast
            made.append(value)
        return tuple(made)

    def _evaluated_environment(self, shard: Shard) -> dict[str, str]:
        made = {}
        for name, text in self._environment or ():
            value = shard.evaluated(text)
            if not isinstance(value, str):
                raise NotFast
            made[name] = str(value)
        return made


def _check(tool: Process, context: JobContext, sample: Job) -> None:
    if sample.in_place or sample.processes or sample.folders or sample.storage is not None:
        raise NotFast
    if sample.stdin is not None and not is_expression(tool.tool.get("stdin")):
        raise NotFast  # it is an input of this job only
    for name in _OTHERWISE:
        if tool.get_requirement(name)[0] is not None:
            raise NotFast
    if any(is_expression(tool.get_requirement(name)[0]) for name in (*_CONSTANT, *_CONSTANT_TOO)):
        raise NotFast
    if context.preserve_environment or context.preserve_entire_environment or context.mutation_manager is not None:
        raise NotFast
    if context.software and tool.get_requirement("SoftwareRequirement")[0] is not None:
        raise NotFast
    for hint in (*tool.requirements, *tool.hints):
        name = str(hint.get("class", ""))
        if is_processes(name) or (kind_of(name) is not None and is_expression(hint)):
            raise NotFast


def _environment(tool: Process) -> list[tuple[str, str]] | None:
    """The variables, if one of them has an expression."""
    requirement = tool.get_requirement("EnvVarRequirement")[0]
    if requirement is None or not is_expression([one["envValue"] for one in requirement["envDef"]]):
        return None
    return [(str(one["envName"]), one["envValue"]) for one in requirement["envDef"]]


# -- the command line --------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """A binding of the command line: constant words, or what makes them of a job's values."""

    position: list[Any]
    words: tuple[str, ...] | Words
    quote: bool = True


def _command_of(tool: Process, fields: Mapping[str, InputField]) -> list[_Part]:
    """All bindings in their order, as ``Process._init_job`` sorts them."""
    parts = [
        _Part([-1000000, number], (str(word),))
        for number, word in enumerate(aslist(tool.tool.get("baseCommand") or []))
    ]
    for number, argument in enumerate(tool.tool.get("arguments") or ()):
        parts.append(_argument(argument, number))
    for field in fields.values():
        if field.binding is not None:
            if _NUMBER_NAME.fullmatch(field.name):
                raise NotFast  # compared with the number of an argument, it is neither before nor behind it
            parts.append(_input(field))
    return sorted(parts, key=cmp_to_key(_compared))


def _compared(one: _Part, other: _Part) -> int:
    return int(cmp_like_py2({"position": one.position}, {"position": other.position}))


def _argument(written: Any, number: int) -> _Part:
    if not isinstance(written, Mapping):
        if not is_expression(written):
            return _Part([0, number], (str(written),))
        return _Part([0, number], partial(_generated, {"valueFrom": written}, None))
    position = _position(written)
    binding = {key: value for key, value in written.items() if key != "position"}
    return _Part([position, number], partial(_generated, binding, None), bool(written.get("shellQuote", True)))


def _input(field: InputField) -> _Part:
    binding, kind = field.binding, field.kind
    assert binding is not None
    position = [_position(binding), field.name]
    quote = bool(binding.get("shellQuote", True))
    if binding.get("loadContents"):
        raise NotFast
    prefix, separate = binding.get("prefix"), binding.get("separate", True)
    if prefix is None and not separate:
        raise NotFast  # cwltool says that this is wrong
    if "valueFrom" in binding:
        plain = {key: value for key, value in binding.items() if key != "position"}
        return _Part(position, partial(_generated, plain, field.name), quote)
    if kind.is_array:
        if not quote and "itemSeparator" not in binding:
            raise NotFast  # of an array's items each is quoted
        return _Part(position, _words_of_array(field.name, dict(binding), kind), quote)
    return _Part(position, _words(field.name, prefix, bool(separate), kind), quote)


def _position(binding: Mapping[str, Any]) -> int:
    position = binding.get("position", 0)
    if not isinstance(position, int) or isinstance(position, bool):
        raise NotFast
    return int(position)


def _generated(binding: Mapping[str, Any], name: str | None, shard: Shard) -> list[str]:
    """What cwltool makes of a binding with an expression."""
    datum = None
    if name is not None:
        datum = shard.job[name]
        if datum is None:
            return []
    return [str(word) for word in aslist(shard.builder().generate_arg({**binding, "datum": datum}))]


def _words(name: str, prefix: str | None, separate: bool, kind: Kind) -> Words:
    """As ``Builder.generate_arg`` has it, for a value without parts."""
    before = [] if prefix is None else [str(prefix)]

    def of_flag(shard: Shard) -> list[str]:
        return before if shard.job[name] is True and prefix else []

    def of_value(shard: Shard) -> list[str]:
        value = shard.job[name]
        if value is None:
            return []
        word = kind.word(value)
        return [*before, word] if separate else [f"{prefix}{word}"]

    return of_flag if kind.item == "boolean" else of_value


def _words_of_array(name: str, binding: CwlObject, kind: Kind) -> Words:
    """As ``Builder.bind_input`` and ``generate_arg`` have it: the array itself, then its items."""
    prefix, separator = binding.get("prefix"), binding.get("itemSeparator")
    before = [str(prefix)] if prefix else []
    separate = binding.get("separate", True)

    def of_items(shard: Shard) -> list[str]:
        value = shard.job[name]
        if not value:
            return []
        if kind.item == "boolean":
            return before
        return [*before, *map(kind.word, value)]

    def joined(shard: Shard) -> list[str]:
        value = shard.job[name]
        if not value:
            return []
        if not separator:
            return before
        word = separator.join(map(kind.word, value))
        if separate:
            return [word] if prefix is None else [str(prefix), word]
        return [f"{prefix}{word}"]

    return joined if "itemSeparator" in binding else of_items


def _merged(parts: list[_Part], *, shell: bool) -> list[tuple[str, ...] | Words]:
    """What follows each other and is constant, as one."""
    made: list[tuple[str, ...] | Words] = []
    for part in parts:
        words = part.words
        if shell and part.quote:
            words = tuple(map(shlex.quote, words)) if isinstance(words, tuple) else partial(_quoted, words)
        if isinstance(words, tuple) and made and isinstance(made[-1], tuple):
            made[-1] += words
        else:
            made.append(words)
    return made


def _quoted(words: Words, shard: Shard) -> list[str]:
    return [shlex.quote(word) for word in words(shard)]
