"""One job from its JSON form to its result: stage in, run, collect, stage out. Whatever happens, there is a result."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Optional, Tuple

from gridcwl.worker import record
from gridcwl.worker import result as results
from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.calls import limits_of, refuse_bytes, refuse_unsayable
from gridcwl.worker.collect import collect
from gridcwl.worker.control import Control
from gridcwl.worker.engine import Call, Engine, EngineError, Exit, Plain, Running
from gridcwl.worker.failure import SUCCESS, TEMPORARY, WorkerFailure, failure_of
from gridcwl.worker.globs import BadGlob, parse
from gridcwl.worker.layout import Layout, Occupied
from gridcwl.worker.options import WorkerOptions, complete, text_field
from gridcwl.worker.paths import climbs, file_url
from gridcwl.worker.processes import Processes
from gridcwl.worker.put import put_away
from gridcwl.worker.recycle import can_be_shelved
from gridcwl.worker.removing import remove_tree
from gridcwl.worker.stage import Staging
from gridcwl.worker.usage import disk_bytes

log = logging.getLogger(__name__)

_BARE = BareEngine()
_DEFAULTS = WorkerOptions()
_FULL = 1 << 20  # bytes: less room than this is a full disk


def run_job(job: Plain, workdir: str, engine: Engine, control: Control, *, options: WorkerOptions = _DEFAULTS) -> Plain:
    """Run one job (JSON form of ``gridcwl.model.Job``) in a working directory of its own.

    Safe to call from many threads. Never raises for what a job, a tool, an engine or a disk can do wrong: the result
    (JSON form of ``gridcwl.model.JobResult``) says it. Files are listed only when the tool succeeded, or with
    ``collect_failed``.
    """
    clock = results.Clock()
    attempt = _Attempt(workdir, engine, control, options)
    result = results.new(text_field(job, "id"), {})
    try:
        attempt.run(complete(job), result)
    except WorkerFailure as failure:
        attempt.occupied = isinstance(failure, Occupied)
        result["outcome"], result["reason"] = failure.outcome, failure.reason
    except EngineError as error:
        result["outcome"] = TEMPORARY if error.temporary else result["outcome"]
        result["reason"] = str(error)
    except OSError as error:
        meant = failure_of(error, "running the job")
        result["outcome"], result["reason"] = meant.outcome, meant.reason
    except Exception as error:  # the last resort: no job may be lost, whatever is wrong with us
        log.exception("The worker failed at job %s", result["id"])
        result["reason"] = f"The worker itself failed: {type(error).__name__}: {error}."
    attempt.close()
    if result["outcome"] != SUCCESS and control.ending is not None:
        # Whatever else went wrong then, went wrong because of it.
        result["outcome"], result["reason"] = control.ending
    results.drop_replaced_logs(result)
    if result["outcome"] != SUCCESS:
        attempt.explain(result)
    result["usage"] = clock.usage(attempt.ended, attempt.disk_bytes, attempt.fetched_bytes)
    return record.end(result, workdir) if options.write_files and not attempt.occupied else result


class _Attempt:
    """What is known of a job while it runs."""

    def __init__(self, workdir: str, engine: Engine, control: Control, options: WorkerOptions) -> None:
        self.ended: Optional[Exit] = None
        self.disk_bytes: Optional[int] = None
        self.fetched_bytes: Optional[int] = None
        self.occupied = False
        self._workdir = workdir
        self._engine = engine
        self._control = control
        self._options = options
        self._layout: Optional[Layout] = None

    def run(self, job: Plain, result: Plain) -> None:
        _check_globs(job)
        engine = self._engine if self._engine.containers and job["image"] is not None else _bare(self._engine)
        layout = Layout(self._workdir, job["directories"], bare=not engine.containers)
        recycler = self._options.recycler
        inputs = bool(job["staged"]) or engine.containers
        layout.make(recycler.make_folder if recycler else os.mkdir, inputs, recycler.make_workdir if recycler else None)
        self._layout = layout
        if self._options.write_files:
            record.begin(job, layout.workdir)
        staging = Staging(job, layout, self._options, self._control)
        try:
            staging.run()
        finally:
            result["fetched"] = staging.fetched
            self.fetched_bytes = staging.fetched_bytes
        if job["processes"]:
            self.ended = ended = Processes(job, layout, staging, self._ran, self._options).run(engine, result)
        else:
            call = self._call(job, layout, staging, engine)
            result["stdout_log"], result["stderr_log"] = call.stdout, call.stderr
            if call.image is not None:
                result["image"] = engine.digest(call.image)
            self._control.check()
            self.ended = ended = self._ran(call, engine, job["resources"]["time_limit_s"])
        result["exit_code"] = ended.code
        self.disk_bytes = disk_bytes((layout.out, layout.tmp))
        self._control.check()
        outcome, reason = results.outcome_of(ended, job["exit_codes"])
        if outcome != SUCCESS:
            if self._options.collect_failed and job["storage"] is None:
                with contextlib.suppress(WorkerFailure, OSError):  # it has failed already
                    self._collect(job, layout, staging, result)
            raise WorkerFailure(reason, outcome)
        self._collect(job, layout, staging, result)
        if job["storage"] is not None:
            try:
                put_away(result, job, layout.workdir, self._options.site, self._control.check)
            except BaseException:
                result["files"], result["outdir"] = [], ""  # nobody could reach them
                raise
            if recycler:
                remove_tree(layout.out)
        result["outcome"] = SUCCESS
        if recycler and job["storage"] is None and not job["in_place"] and can_be_shelved(result, layout):
            with contextlib.suppress(OSError):
                recycler.take_back(result, layout, job["outputs"]["globs"] is not None)

    def _collect(self, job: Plain, layout: Layout, staging: Staging, result: Plain) -> None:
        result["outdir"] = file_url(layout.out)
        if layout.bare and job["outputs"]["globs"] is None:  # an outputEval may read paths that the tool wrote
            result["tool_outdirs"] = layout.tool_outdirs()
        result["files"], result["escaped"], result["left"] = collect(job, layout, staging, self._control.check)

    def close(self) -> None:
        if self._layout is not None:
            try:
                self._layout.close()
            except OSError:
                log.warning("A temporary link could not be removed", exc_info=True)

    def explain(self, result: Plain) -> None:
        """Add to a failure what a person wants to see with it."""
        if result["stderr_log"] is not None:
            result["stderr_tail"] = results.tail(result["stderr_log"])
        if self.ended is not None and self._layout is not None and self._control.ending is None:
            room = os.statvfs(self._layout.workdir)
            if room.f_bavail * room.f_frsize < _FULL:
                result["reason"] += f" The disk that holds {self._layout.workdir} is full."

    def _call(self, job: Plain, layout: Layout, staging: Staging, engine: Engine) -> Call:
        stdout = _stream(job["stdout"], f"{layout.workdir}/stdout.log", layout, staging)
        stderr = _stream(job["stderr"], f"{layout.workdir}/stderr.log", layout, staging)
        if self._options.recycler:
            for log_file in {stdout, stderr}:
                self._options.recycler.make_file(log_file)
        refuse_unsayable(job)
        if engine.containers:
            refuse_bytes([*job["command"], *(mount.target for mount in staging.mounts)])
        return Call(
            name=f"gridcwl-{job['id']}-{job['attempt']}",
            argv=tuple([layout.real(word) for word in job["command"]]),
            environment=_environment(job, layout),
            workdir=layout.out if layout.bare else layout.seen_out,
            stdout=stdout,
            stderr=stderr,
            stdin=_stdin(job["stdin"], staging),
            image=engine.prepare(job["image"]) if engine.containers else None,
            mounts=tuple(staging.mounts),
            **limits_of(job, self._options),
        )

    def _ran(self, call: Call, engine: Engine, time_limit_s: Optional[float]) -> Exit:
        running = _started(call, engine)
        try:
            self._control.attach(running, time_limit_s)
            return running.wait()
        except BaseException:
            running.kill()
            raise
        finally:
            self._control.detach()


def _bare(engine: Engine) -> Engine:
    return _BARE if engine.containers else engine


def _check_globs(job: Plain) -> None:
    outputs = job["outputs"]
    try:
        for pattern in [*(outputs["globs"] or ()), *outputs["contents"]]:
            parse(pattern, job["directories"]["out"].rstrip("/"))
    except BadGlob as error:
        raise WorkerFailure(str(error)) from None


def _environment(job: Plain, layout: Layout) -> "dict[str, str]":
    environment = {} if not layout.bare else {"PATH": os.environ.get("PATH", os.defpath)}
    for name, value in job["environment"].items():
        environment[name] = layout.real(value)
    # Promised by CWL, whatever else is asked for.
    environment["HOME"] = layout.real(layout.seen_out)
    environment["TMPDIR"] = layout.real(layout.seen_tmp)
    return environment


def _stdin(seen: Optional[str], staging: Staging) -> Optional[str]:
    if seen is None:
        return None
    host = staging.host(seen)
    if host is None or not os.path.exists(host):
        raise WorkerFailure(f"The tool's standard input, {seen}, is not there.")
    return host


def _stream(name: Optional[str], log_file: str, layout: Layout, staging: Staging) -> str:
    """Where one of the tool's streams is written. A name is one of the output directory, and nothing else."""
    if name is None:
        return log_file
    relative = name[len(layout.seen_out) + 1 :] if name.startswith(layout.seen_out + "/") else name
    parts = relative.split("/")
    if not relative or climbs(relative) or parts[-1] in ("", "."):
        raise WorkerFailure(f"The tool's output stream cannot be {name}, which is no file of its output directory.")
    if staging.inputs:
        for end in range(len(parts)):
            # Through a link we would overwrite the original, and below a mount what we write would not be seen.
            if f"{layout.seen_out}/{'/'.join(parts[: end + 1])}" in staging.inputs:
                raise WorkerFailure(f"The tool's output stream cannot be {name}, where an input is.")
    if staging.may_hold_links and os.path.realpath(f"{layout.out}/{relative}") != layout.straight(
        f"{layout.out}/{relative}"
    ):
        raise WorkerFailure(
            f"The tool's output stream cannot be {name}, which is reached through a symbolic link of an input."
        )
    if len(parts) > 1:
        os.makedirs(f"{layout.out}/{os.path.dirname(relative)}", exist_ok=True)
    return f"{layout.out}/{relative}"


def _started(call: Call, engine: Engine) -> Running:
    try:
        return engine.start(call)
    except OSError as error:
        if engine.containers or error.filename not in (call.argv[0], os.fsencode(call.argv[0]), None):
            raise failure_of(error, "starting the tool") from error
        raise WorkerFailure(_not_started(call.argv[0], error)) from error


def _not_started(program: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        where = "is not there, or the interpreter that its first line names" if "/" in program else "is not in PATH"
        return f"The program {program} {where}."
    return f"The program {program} cannot be run: {error.strerror}."


__all__: Tuple[str, ...] = ("run_job",)
