"""``gridcwl plan DOCUMENT INPUTS`` for a run on this machine: jobs, images, inputs, outputs, and what is reused."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.errors import GridCWLError
from gridcwl.runs.options import Options
from gridcwl.runs.units import amount

if TYPE_CHECKING:
    from gridcwl.backends.views import MachinePlanner, Presence
    from gridcwl.cwl.session import CwlSession
    from gridcwl.runs.disk_forecast import DiskForecast
    from gridcwl.runs.planning import PlannedStep
    from gridcwl.runs.reuse.forecast import ReuseForecast

_LONGEST_COMMAND = 300
_MOST_REASONS = 5
_MOST_NAMES = 8
_MADE_UP = re.compile(r"[0-9a-f]{40}(_[0-9]+)?")
"""The name of a stream to which the document gives none."""
_MOST_LOOKED_UP = 200
"""Jobs of one step whose inputs are read to see whether their results are known."""


def print_local_plan(options: Options, evaluation: Any) -> int:
    """Print the plan; returns 0, or 1 if the run could not be done.

    Raises:
        GridCWLError: document or inputs are not as they should be.
    """
    from gridcwl.runs import dialect
    from gridcwl.runs.disk_forecast import DiskForecaster
    from gridcwl.runs.from_options import opened, run_store
    from gridcwl.runs.outputs import names_of_jobs
    from gridcwl.runs.planning import planned
    from gridcwl.runs.record.folder import new_run_id
    from gridcwl.runs.reuse.forecast import ReuseForecaster

    session = opened(options, evaluation)
    machine = _planner(options)
    session.context.largest = machine.largest
    remarks = dialect.remarks(options, session)
    dialect.ask_for_inputs(options, session, Path.cwd())
    with run_store(dialect.with_routes(options, session), session) as store:
        session, inputs = dialect.completed(options, session, store)
        steps = planned(session, inputs, new_run_id())
    forecaster = ReuseForecaster(
        session,
        inputs,
        options.document,
        options.state_dir,
        options.cache_dir / "sums.db",
        options.cache_dir / "results" if options.cache else None,
    )
    images = _images(options, steps, machine)
    possible = True
    disk = DiskForecaster(options.document, options.state_dir, steps)
    for step in steps:
        problem = step.problem or machine.problem(step.jobs or (step.sample,))
        forecasts = forecaster.of(step.jobs[:_MOST_LOOKED_UP]) if step.jobs else []
        lines = _step(step, problem, machine, options, images, forecasts, disk.of(step))
        print("\n".join(lines), end="\n\n")
        image = step.sample.image
        unavailable = image is not None and image.id in images and images[image.id].state == "unavailable"
        possible = possible and not problem and not unavailable
    disk.close()
    names = names_of_jobs(session, inputs, {step.name: step.outputs for step in steps if step.jobs})
    for line in _outputs(options, names):
        print(line)
    for sentence in remarks:
        print(f"not so       {sentence}")
    conflict = _conflict(options, session, inputs, names)
    if conflict:
        print(f"conflict     {conflict}")
    return 0 if possible and not conflict else 1


def _step(
    step: PlannedStep,
    problem: str,
    machine: MachinePlanner,
    options: Options,
    images: Mapping[str, Presence],
    forecasts: Sequence[ReuseForecast],
    disk: DiskForecast,
) -> Iterator[str]:
    number = "unknown until other steps have finished" if step.number is None else str(step.number)
    yield f"{step.name}: jobs {number}" + (", if its condition holds" if step.conditional else "")
    if problem:
        yield f"  problem    {problem}"
    job, need = step.sample, step.sample.resources
    if step.jobs:
        yield f"  command    {_command(step)}"
        sizes = [sum(entry.size or 0 for entry in each.staged) for each in step.jobs]
        one = f", at most {amount(max(sizes))} for one job" if len(sizes) > 1 else ""
        yield f"  input      {amount(sum(sizes))}{one}"
    else:
        yield "  command    unknown: its inputs come from other steps"
    if job.image is None:
        yield "  image      none: the command runs on this machine"
    elif (known := images.get(job.image.id)) is not None:
        yield f"  image      {job.image.id}: {_presence(known)}"
    gpus = f", {need.gpus} GPU(s)" if need.gpus else ""
    yield f"  needs      {need.cores:g} core(s), {amount(need.ram_mib << 20)} of memory{gpus}"
    yield f"  disk       {disk}"
    if not problem:
        yield f"  at a time  {_at_a_time(step, machine, options)} of {machine.largest.cores:g} core(s), " + (
            f"{amount(machine.largest.ram_mib << 20)} of memory"
        )
    yield from _reuse(step, forecasts)


def _command(step: PlannedStep) -> str:
    text = shlex.join(step.jobs[0].command)
    short = text if len(text) <= _LONGEST_COMMAND else text[:_LONGEST_COMMAND] + " ..."
    return short + (f"   ({step.jobs[0].name})" if len(step.jobs) > 1 else "")


def _presence(known: Presence) -> str:
    size = amount(known.size) if known.size is not None else "size unknown"
    if known.state == "present":
        return f"present, {size}"
    if known.state == "to be pulled":
        return f"to be pulled, {size}"
    return f"{known.state}: {known.problem}" if known.problem else known.state


def _at_a_time(step: PlannedStep, machine: MachinePlanner, options: Options) -> int:
    return machine.at_a_time(step.sample, min(step.number or 1 << 30, options.max_jobs or 1 << 30))


def _planner(options: Options) -> MachinePlanner:
    """Of the machine where the jobs run, as far as their backend says; else of this one."""
    from gridcwl import plugins

    plugin, settings = options.grid.plugin, options.grid.settings
    if "machine_planner" not in plugin.hooks:
        plugin = plugins.backend("local")
        settings = plugin.settings()
    planner: MachinePlanner = plugins.call(plugin, "machine_planner", settings)
    return planner


def _reuse(step: PlannedStep, forecasts: Sequence[ReuseForecast]) -> Iterator[str]:
    if not forecasts:
        yield "  reused     unknown until other steps have finished"
        return
    taken = [each for each in forecasts if each.reused]
    of = len(step.jobs) if len(step.jobs) == len(forecasts) else f"the first {len(forecasts)}"
    yield f"  reused     {len(taken)} of {of}"
    for word, group in (("taken from", taken), ("runs:", [each for each in forecasts if not each.reused])):
        reasons = Counter(each.reason for each in group)
        names = {each.reason: each.name for each in reversed(group)}
        for reason, number in list(reasons.items())[:_MOST_REASONS]:
            jobs = names[reason] if number == 1 else f"{number} jobs, the first {names[reason]}"
            yield f"             {jobs}: {word} {reason}"
        if len(reasons) > _MOST_REASONS:
            yield f"             and {len(reasons) - _MOST_REASONS} other reasons"


def _images(options: Options, steps: Sequence[PlannedStep], machine: MachinePlanner) -> Mapping[str, Presence]:
    wanted = [step.sample.image for step in steps if step.sample.image is not None]
    return machine.images(options.engine, wanted) if wanted else {}


def _outputs(options: Options, known: Sequence[str]) -> Iterator[str]:
    from gridcwl import plugins

    store, settings = plugins.store(options.store.store), options.store.settings
    if place := store.keeps(settings):
        yield f"outputs      {place}"
    if store.downloads(settings):
        yield f"outputs      {options.outdir.absolute()}"
        names = [name for name in known if not _MADE_UP.fullmatch(name)]
        if names:
            rest = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            yield f"             {', '.join(names[:_MOST_NAMES])}{rest}"


def _conflict(options: Options, session: CwlSession, inputs: Any, names: Sequence[str]) -> str:
    """Why outputs could not go where they are to go."""
    from gridcwl.runs.outdir import check_outdir
    from gridcwl.runs.outputs import check

    try:
        check_outdir(options.outdir)
        if options.outputs != "leave" and options.store.store == "local":
            check(options.outdir, session, inputs, options.state_dir, names, overwrite=options.overwrite)
    except GridCWLError as error:
        return f"{error.message}. {error.remedy}".strip()
    return ""
