"""``gridcwl plan DOCUMENT INPUTS``: what a run would do, step by step; it runs nothing. Here, of a run at sites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.errors import BackendError
from gridcwl.runs.options import Options

if TYPE_CHECKING:
    from gridcwl.backends.views import Planner, StepPlan
    from gridcwl.runs.disk_forecast import DiskForecast
    from gridcwl.runs.planning import PlannedStep


def print_plan(options: Options) -> int:
    """Print the plan; returns 0, or 1 if some step could run nowhere.

    Raises:
        GridCWLError: document, inputs or the batch system's answers are not as they should be.
    """
    from gridcwl import plugins
    from gridcwl.runs.from_options import evaluation

    plugin = options.grid.plugin
    if "open_planner" not in plugin.hooks:
        from gridcwl.cli.local_plan import print_local_plan as local_plan

        return local_plan(options, evaluation(options))
    with plugins.call(plugin, "open_planner", options.grid.settings) as planner:
        return _plan(options, planner, evaluation(options))


def _plan(options: Options, planner: Planner, evaluation: Any) -> int:
    import asyncio

    from gridcwl.backends.views import StepJobs
    from gridcwl.runs import dialect
    from gridcwl.runs.disk_forecast import DiskForecaster
    from gridcwl.runs.from_options import opened, run_store
    from gridcwl.runs.planning import located, planned
    from gridcwl.runs.record.folder import new_run_id

    session = opened(options, evaluation)
    remarks = dialect.remarks(options, session)
    dialect.ask_for_inputs(options, session, Path.cwd())
    with run_store(dialect.with_routes(options, session), session) as store:
        session, inputs = dialect.completed(options, session, store)
        steps = planned(session, inputs, new_run_id())
        steps = asyncio.run(located(steps, store))
    plans = planner.plan([StepJobs(step.sample, step.jobs, step.number) for step in steps])
    possible = True
    disk = DiskForecaster(options.document, options.state_dir, steps, remote=True)
    for step, plan in zip(steps, plans, strict=True):
        print("\n".join(_step(step, plan, planner.language, disk.of(step))), end="\n\n")
        possible = possible and plan.is_possible
    disk.close()
    print(f"outputs      {_outputs(options, planner)}")
    for sentence in remarks:
        print(f"not so       {sentence}")
    try:
        print(f"credential   {planner.credential()}")
    except BackendError as error:
        print(f"credential   {error.message}")
    return 0 if possible else 1


def _step(step: PlannedStep, plan: StepPlan, language: str, disk: DiskForecast) -> Iterator[str]:
    from gridcwl.runs.disk_forecast import input_bytes

    number = "as many as other steps give" if step.number is None else str(step.number)
    yield f"{step.name}: jobs {number}" + (", if its condition holds" if step.conditional else "")
    if step.problem:
        yield f"  problem    {step.problem}"
    if step.jobs:
        read = [input_bytes(each) for each in step.jobs]
        yield f"  input      {sum(read)} bytes in all, at most {max(read)} for one job"
    else:
        yield "  known      only the tool's own requirements: its inputs come from other steps"
    yield f"  disk       {disk}"
    if plan.problem:
        yield f"  sites      none: {plan.problem}"
        return
    yield f"  asks for   {plan.request}"
    if plan.is_possible:
        yield f"  sites      {', '.join(plan.sites) or 'any'}"
    if step.jobs:
        least, most = plan.to_move
        bytes_ = f"{least} bytes in all" if least == most else f"{least} to {most} bytes in all, depending on the site"
        yield f"  to move    {bytes_}"
    for site, reason in plan.excluded:
        yield f"  {'not at' if plan.sites else 'sites      none: not at'}     {site}: {reason}"
    for sentence in plan.notes:
        yield f"  not so     {sentence}"
    if plan.submissions is not None:
        yield f"  calls      {plan.submissions} submission(s)"
    if plan.description:
        yield f"  {language:<11}" + plan.description.replace("\n", "\n             ")


def _outputs(options: Options, planner: Planner) -> str:
    from gridcwl import plugins

    if place := plugins.store(options.store.store).keeps(options.store.settings):
        return f"{place}, on the storage element of the site where each job runs"
    others = " or ".join(f"--store {name}" for name in plugins.carrying_stores())
    return f"{planner.outputs}, then this machine: for small files only; use {others} for larger ones"
