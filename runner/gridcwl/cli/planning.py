"""``gridcwl plan DOCUMENT INPUTS``: what a run would do, step by step; it runs nothing. Here, of a run at DIRAC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.errors import BackendError, GridCWLError
from gridcwl.runs.options import Options

if TYPE_CHECKING:
    from gridcwl.backends.dirac.matching import JobRequirements, Limits, Wishes
    from gridcwl.backends.dirac.server import Server
    from gridcwl.backends.dirac.sites import DiracSite
    from gridcwl.model import Job
    from gridcwl.runs.disk_forecast import DiskForecast
    from gridcwl.runs.planning import PlannedStep


def print_plan(options: Options) -> int:
    """Print the plan; returns 0, or 1 if some step could run nowhere.

    Raises:
        GridCWLError: document, inputs or DIRAC's answers are not as they should be.
    """
    from gridcwl import plugins
    from gridcwl.runs.from_options import evaluation

    plugin = options.grid.plugin
    if plugin.table != "dirac":
        from gridcwl.cli.local_plan import print_local_plan as local_plan

        return local_plan(options, evaluation(options))
    module = plugins.loaded(plugin)
    with module.open_server(module.server_name(options.grid.settings)) as dirac:
        return _plan(options, dirac, evaluation(options))


def _plan(options: Options, server: Server, evaluation: Any) -> int:
    import asyncio

    from gridcwl.backends.dirac.factory import wishes_of
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
    offers, limits, most = server.offers(), server.limits(), server.most_jobs()
    wishes = wishes_of(options.grid.settings)
    homeless = False
    disk = DiskForecaster(options.document, options.state_dir, steps, remote=True)
    for step in steps:
        lines = list(_step(step, wishes, limits, offers, most, disk.of(step)))
        homeless = homeless or any(line.startswith("  sites      none") for line in lines)
        print("\n".join(lines), end="\n\n")
    disk.close()
    print(f"outputs      {_outputs(options)}")
    for sentence in remarks:
        print(f"not so       {sentence}")
    try:
        ours = server.credential()
        if options.grid.is_local_mode:
            print("credential   none is needed")
        else:
            print(f"credential   {ours.user}, group {ours.group}, ends {ours.ends:%Y-%m-%d %H:%M} UTC")
    except BackendError as error:
        print(f"credential   {error.message}")
    return 1 if homeless else 0


def _step(
    step: PlannedStep, wishes: Wishes, limits: Limits, offers: Sequence[DiracSite], most: int | None, disk: DiskForecast
) -> Iterator[str]:
    from gridcwl.backends.batch.packing import input_bytes
    from gridcwl.backends.dirac import matching

    number = "as many as other steps give" if step.number is None else str(step.number)
    yield f"{step.name}: jobs {number}" + (", if its condition holds" if step.conditional else "")
    if step.problem:
        yield f"  problem    {step.problem}"
    job = step.sample
    if not step.jobs:
        yield "  known      only the tool's own requirements: its inputs come from other steps"
    if step.jobs:
        read = [input_bytes(each) for each in step.jobs]
        yield f"  input      {sum(read)} bytes in all, at most {max(read)} for one job"
    yield f"  disk       {disk}"
    try:
        needs = matching.near_data(job, matching.needs_of(job, wishes, limits, offers), wishes, offers)
    except GridCWLError as error:
        yield f"  sites      none: {error.message}"
        return
    yield f"  asks for   {_asked(needs)}"
    fitting = matching.fitting(needs, offers)
    if fitting or not offers:
        yield f"  sites      {', '.join(fitting) or 'any'}"
    if step.jobs:
        yield f"  to move    {_to_move(step.jobs, needs, wishes, offers)}"
    for offer in offers:
        if offer.site not in fitting:
            yield f"  {'not at' if fitting else 'sites      none: not at'}     {offer.site}: " + str(
                matching.why_not(needs, offer)
            )
    for sentence in matching.not_honoured(job, wishes, limits):
        yield f"  not so     {sentence}"
    if step.number is not None:
        yield f"  calls      {-(-step.number // min(most or 1000, 1000))} submission(s)"
    yield from _jdl(job, needs)


def _to_move(jobs: Sequence[Job], needs: JobRequirements, wishes: Wishes, offers: Sequence[DiracSite]) -> str:
    """The input bytes that are not beside the sites where the jobs go, each as near to its own inputs as it may."""
    from gridcwl.backends.dirac import matching

    anywhere = replace(needs, sites=(), near=False) if needs.near else needs
    moved = []
    for job in jobs:
        own = matching.near_data(job, anywhere, wishes, offers)
        moved.append(matching.bytes_to_move(job, matching.fitting(own, offers)))
    least, most = (sum(counts) for counts in zip(*moved, strict=True))
    return f"{least} bytes in all" if least == most else f"{least} to {most} bytes in all, depending on the site"


def _asked(needs: JobRequirements) -> str:
    parts = [f"{needs.processors} processor(s)"]
    parts += [f"{needs.ram_mib} MiB"] if needs.ram_mib else []
    parts += [f"{needs.cpu_time_s} s"] if needs.cpu_time_s else []
    parts += [f"tags {', '.join(needs.tags)}"] if needs.tags else []
    parts += [f"priority {needs.priority}"] if needs.priority is not None else []
    return ", ".join(parts)


def _jdl(job: Job, needs: JobRequirements) -> Iterator[str]:
    from gridcwl.backends.batch import names
    from gridcwl.backends.dirac import jdl

    prefix, number = names.split(job.id)
    batch = jdl.Batch(job.run, prefix, (str(number),), "", needs, "SB:where-the-sandbox-is")
    yield "  JDL        " + jdl.text(batch).replace("\n", "\n             ")


def _outputs(options: Options) -> str:
    from gridcwl import plugins

    if place := plugins.store(options.store.store).keeps(options.store.settings):
        return f"{place}, on the storage element of the site where each job runs"
    others = " or ".join(f"--store {name}" for name in plugins.carrying_stores())
    return f"DIRAC's output sandboxes, then this machine: for small files only; use {others} for larger ones"
