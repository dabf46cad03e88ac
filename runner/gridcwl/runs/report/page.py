"""The report as one HTML page that needs nothing else: no script, no network. All text is escaped here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from html import escape
from importlib import resources
from string import Template

from gridcwl.runs.escaping import escaped
from gridcwl.runs.report.graph_svg import in_words, picture, state_of
from gridcwl.runs.report.model import FailureDetails, FileDetails, Listed, RunDetails, Spread, StepUsage
from gridcwl.runs.report.timeline_svg import COLORS, colors, timeline
from gridcwl.runs.units import amount, duration, moment

_MOST_STEPS = 300
_FIRST_SUGGESTIONS = 10
_MOST_SUGGESTIONS = 300
_MOST_DATASETS = 100
_MIB = 1 << 20
_CODE = re.compile(r"`([^`]+)`")


def page(run: RunDetails, *, refresh_s: int | None = None) -> str:
    """The page.

    Args:
        run: what to show.
        refresh_s: a browser reads the page again after so many seconds.
    """
    about = run.about
    sections = {
        "Summary": _summary(run),
        "Suggestions": _suggestions(run.suggestions),
        "Failures": _failures(run),
        "Workflow": _workflow(run),
        "Timeline": _timeline(run),
        "Steps": _steps(run.steps),
        "Resources": _resources(run.steps),
        "Results": _results(run),
        "Inputs": _listed(run.inputs, "inputs"),
        "Outputs": _listed(run.outputs, "outputs"),
        "Rucio": _stored(run),
    }
    shown = {title: text for title, text in sections.items() if text}
    name = f" ({about['name']})" if about.get("name") else ""
    state = str(about["state"])
    message = f": {escape(str(about['message']))}" if about.get("message") else ""
    return _template().substitute(
        title=escape(f"{about['run']}{name}: {state}"),
        heading=escape(f"{about['run']}{name}"),
        refresh=f'<meta http-equiv="refresh" content="{refresh_s}">' if refresh_s else "",
        badge=f'<span class="badge {escape(state)}">{escape(state)}</span>',
        when=f"{escape(str(about.get('document') or ''))}{message}",
        contents="".join(f'<a href="#{title.lower()}">{title}</a>' for title in shown),
        sections="\n".join(
            f'<section id="{title.lower()}"><h2>{title}</h2>\n{text}</section>' for title, text in shown.items()
        ),
        footer=f"Report of {escape(moment(run.at))}, gridcwl {escape(run.version)}. Times are local times.",
    )


@cache
def _template() -> Template:
    return Template(resources.files("gridcwl.runs.report").joinpath("page.html").read_text("utf-8"))


# -- sections ----------------------------------------------------------------------------------------------------------


def _summary(run: RunDetails) -> str:
    about = run.about
    cpu_s, core_s = (sum(getattr(step, name) for step in run.steps) for name in ("spent_cpu_s", "core_s"))
    cached, resumed = (sum(getattr(step, name) for step in run.steps) for name in ("cached", "resumed"))
    tiles = [
        (f"{about['done']:,}", f"of {about['shards']:,} jobs done"),
        (f"{about['failed']:,}", "failed"),
        (duration(about["seconds"]), "elapsed" if about["state"] in ("running", "detached") else "duration"),
        (_hours(cpu_s), "CPU time"),
        (_percent(cpu_s, core_s), "of requested cores busy"),
        (amount(round(run.total("read_bytes"))), "read"),
        (amount(round(run.total("written_bytes"))), "written"),
        (f"{cached + resumed:,}", "results reused"),
    ]
    shown = "".join(f'<div class="tile"><b>{escape(value)}</b><span>{label}</span></div>' for value, label in tiles)
    facts = [
        ("Document", str(about.get("document") or "")),
        ("Started", moment(about.get("started"))),
        ("Ended", "" if about["state"] in ("running", "detached") else moment(about.get("ended"))),
        ("Backend", run.backend),
        ("Store", run.store),
        ("Resumed", f"{run.sessions - 1} time{'s' if run.sessions > 2 else ''}" if run.sessions > 1 else ""),
        ("Sites", ", ".join(run.sites[:20]) + (f" and {len(run.sites) - 20} more" if len(run.sites) > 20 else "")),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts if text)
    notes = "".join(f"<p>{escape(note)}</p>" for note in run.notes)
    return f'<div class="tiles">{shown}</div><dl>{listed}</dl>{notes}'


def _suggestions(texts: Sequence[str]) -> str:
    if not texts:
        return ""
    items = [f"<li>{_with_code(text)}</li>" for text in texts[:_MOST_SUGGESTIONS]]
    shown, rest = items[:_FIRST_SUGGESTIONS], items[_FIRST_SUGGESTIONS:]
    text = f'<ul class="plain">{"".join(shown)}</ul>'
    if rest:
        more = f'<ul class="plain">{"".join(rest)}</ul>{_more(len(texts), _MOST_SUGGESTIONS)}'
        text += f"<details><summary>{len(texts) - len(shown):,} more</summary>{more}</details>"
    return text


def _failures(run: RunDetails) -> str:
    shown = "".join(map(failure_html, run.failures))
    return shown + (f'<p class="dim">and {run.more_failures:,} more failures</p>' if run.more_failures else "")


def failure_html(failure: FailureDetails) -> str:
    """Failures of one kind, with what the first of them wrote."""
    many = f"{failure.count:,} jobs, for example " if failure.count > 1 else ""
    first = failure.jobs[0][0] if failure.jobs else failure.step
    facts = [failure.outcome, f"exit code {failure.exit_code}" if failure.exit_code is not None else ""]
    named = [
        (f"<code>{escape(name)}</code> " if failure.count > 1 else "Inputs: ", text) for name, text in failure.jobs
    ]
    jobs = "".join(f"<li>{name}{escaped(text)}</li>" for name, text in named if text or failure.count > 1)
    lines = len(failure.stderr.splitlines())
    quoted = ""
    if failure.stderr.strip():
        quoted = f'<p class="dim">{failure.stream}, last {lines} line{"s" if lines != 1 else ""}</p>'
        quoted += f"<pre>{escaped(failure.stderr)}</pre>"
    logs = f'<p class="dim">Logs: <code>{escape(failure.logs)}</code></p>' if failure.logs else ""
    return (
        f"<h3>{many}<code>{escape(first)}</code></h3><p>{escaped(failure.reason)} "
        f'<span class="dim">({escape(", ".join(filter(None, facts)))})</span></p>{quoted}'
        f"{f'<ul class=plain>{jobs}</ul>' if jobs else ''}{logs}"
    )


def _workflow(run: RunDetails) -> str:
    counts = {step.name: step.counts for step in run.steps}
    drawn = picture(run.outline, counts)
    return f'<div class="scroll">{drawn}</div>' if drawn else ""


def _timeline(run: RunDetails) -> str:
    names = [step.name for step in run.steps]
    drawn = timeline(run.bars, run.sites, names)
    if not drawn:
        return ""
    color = colors(run.bars, len(names))
    ran = sorted({bar.step for bar in run.bars})
    shown = [number for number in ran if len(names) <= COLORS or color[number] < COLORS - 1]
    legend = "".join(
        f'<span><i style="background: var(--s{color[number]})"></i>{escape(names[number])}</span>' for number in shown
    )
    others = len(ran) - len(shown)
    if others:
        legend += f'<span><i style="background: var(--s{COLORS - 1})"></i>{others} other steps</span>'
    bad = any(bar.outcome not in ("success", "running") for bar in run.bars) and all(bar.name for bar in run.bars)
    legend += '<span><i style="background: var(--failed)"></i>failed</span>' if bad else ""
    return f'<div class="legend">{legend}</div><div class="scroll">{drawn}</div>'


def _steps(steps: Sequence[StepUsage]) -> str:
    rows = [
        (
            _cell(step.name, "step"),
            f'<td><span class="state {state_of(step.counts)}">{escape(in_words(step.counts))}</span></td>',
            _number(step.attempts),
            _number(step.resumed + step.cached or ""),
            _cell(_typical(step.queued_s, _span), "n"),
            _cell(_typical(step.wall_s, _span), "n"),
            _cell(_most(step.wall_s, _span), "n"),
            _cell(", ".join(f"{site} {number:,}" for site, number in list(step.sites.items())[:3]), "place"),
        )
        for step in steps[:_MOST_STEPS]
    ]
    head = ("Step", "Jobs", "#Attempts", "#Reused", "#Queued", "#Run time", "#Longest", "Sites")
    return _table(head, rows, len(steps), _MOST_STEPS, "Queued and run time are medians of jobs that succeeded.")


def _resources(steps: Sequence[StepUsage]) -> str:
    used = [step for step in steps if step.requested is not None and step.attempts]
    rows = [tuple(_usage_cells(step)) for step in used[:_MOST_STEPS]]
    head = ("Step", "#Cores", "#Memory", "#Time", "#Disk", "#CPU time", "#Read", "#Written")
    note = "Used of requested, the most of all jobs that succeeded; cores: 95 % of the jobs kept at most so many busy."
    return _table(head, rows, len(used), _MOST_STEPS, note) if used else ""


def _usage_cells(step: StepUsage) -> Iterator[str]:
    asked = step.requested
    assert asked is not None
    yield _cell(step.name, "step")
    busy = step.busy_cores.p95 if step.busy_cores else None
    yield _meter(busy, asked.cores[1], lambda value: f"{value:.3g}")
    yield _meter(step.max_rss_mib.most if step.max_rss_mib else None, asked.ram_mib[1], _mebibytes)
    yield _meter(step.wall_s.most if step.wall_s else None, asked.time_limit_s, _span)
    yield _meter(step.disk_mib.most if step.disk_mib else None, asked.disk_mib[1], _mebibytes)
    yield _cell(_hours(step.spent_cpu_s), "n")
    for one in (step.read_bytes, step.written_bytes):
        yield _cell(amount(round(one.total)) if one is not None else "", "n")


def _meter(used: float | None, asked: float | None, words: Callable[[float], str]) -> str:
    if used is None:
        return f'<td class="n"><span class="of">{"? of " + escape(words(asked)) if asked else "?"}</span></td>'
    if not asked:
        return f'<td class="n">{escape(words(used))}</td>'
    share = used / asked
    bar = f'<i style="width: {min(100.0, 100 * share):.0f}%"></i>'
    return (
        f'<td class="n">{escape(words(used))} <span class="of">of {escape(words(asked))}</span>'
        f'<span class="meter{" over" if share > 1 else ""}">{bar}</span></td>'
    )


def _results(run: RunDetails) -> str:
    """How each result was obtained."""
    reused = [step for step in run.steps if step.resumed or step.cached]
    if not reused:
        return "<p>All results are of jobs that ran in this session.</p>" if run.sessions == 1 else ""
    rows = [
        (
            _cell(step.name, "step"),
            _number(max(0, step.counts.done - step.resumed - step.cached)),
            _number(step.resumed),
            _number(step.cached),
        )
        for step in reused[:_MOST_STEPS]
    ]
    head = ("Step", "#Ran", "#From earlier sessions", "#From other runs")
    table = _table(head, rows, len(reused), _MOST_STEPS)
    if run.origins:
        listed = ", ".join(f"<code>{escape(name)}</code> ({number:,})" for name, number in run.origins.items())
        table += f"<p>Results of other runs: {listed}</p>"
    return table


def _listed(found: Listed, what: str) -> str:
    if not found.values and not found.files:
        return ""
    values = "".join(f"<dt>{escape(one.name)}</dt><dd><code>{escaped(one.text)}</code></dd>" for one in found.values)
    text = f"<dl>{values}</dl>" if values else ""
    if found.files:
        with_replicas = any(file.replicas for file in found.files)
        head = ("Name", "Place", "#Size", "Checksum", *(("Replicas",) if with_replicas else ()))
        rows = [_file_cells(file, with_replicas=with_replicas) for file in found.files]
        size = f", {amount(found.size)}" if found.size else ""
        text += f'<p class="dim">{found.number:,} file{"s" if found.number != 1 else ""}{size} among the {what}</p>'
        text += _table(head, rows, found.number, len(found.files))
    return text


def _file_cells(file: FileDetails, *, with_replicas: bool) -> tuple[str, ...]:
    cells = (
        _cell(file.name, "step"),
        f'<td class="place"><code>{escape(_place(file.place))}</code></td>',
        _cell(amount(file.size) if file.size is not None else "", "n"),
        f'<td class="place mono dim">{escape(file.checksum)}</td>',
    )
    return (*cells, _cell(", ".join(file.replicas), "place")) if with_replicas else cells


def _stored(run: RunDetails) -> str:
    """The run's datasets in Rucio, with their replicas."""
    if run.stored is None:
        return ""
    rows = [
        (
            f'<td class="place"><code>{escape(one.name)}</code></td>',
            _cell("final outputs" if one.output else "intermediate files"),
            _number(len(one.files)),
            _cell(amount(one.size), "n"),
            _cell(
                ", ".join(f"{rse} {number:,} of {len(one.files):,}" for rse, number in one.replicas.items()), "place"
            ),
            _cell(", ".join(f"{rule['rse_expression']}: {rule['state']}" for rule in one.rules), "place"),
        )
        for one in run.stored.datasets[:_MOST_DATASETS]
    ]
    head = ("Dataset", "Holds", "#Files", "#Size", "Replicas", "Rules")
    table = _table(head, rows, len(run.stored.datasets), _MOST_DATASETS)
    return f"<p>Container <code>{escape(run.stored.container)}</code></p>{table}"


# -- parts -------------------------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], number: int, most: int, note: str = "") -> str:
    """A table; titles of columns of numbers begin with ``#``."""
    titles = "".join(
        f'<th class="n">{title[1:]}</th>' if title.startswith("#") else f"<th>{title}</th>" for title in head
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    below = f'<p class="dim">{note}</p>' if note else ""
    return (
        f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'
        f"{_more(number, most)}{below}"
    )


def _more(number: int, most: int) -> str:
    return f'<p class="dim">and {number - most:,} more</p>' if number > most else ""


def _cell(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"


def _number(value: int | str) -> str:
    return _cell(f"{value:,}" if isinstance(value, int) else value, "n")


def _typical(found: Spread | None, shown: Callable[[float], str]) -> str:
    return "" if found is None else shown(found.median)


def _most(found: Spread | None, shown: Callable[[float], str]) -> str:
    return "" if found is None else shown(found.most)


def _mebibytes(value: float) -> str:
    if value >= 10240:
        return f"{value / 1024:.3g} GiB"
    return "< 0.1 MiB" if 0 < value < 0.1 else f"{value:.3g} MiB" if value < 1000 else f"{value:,.0f} MiB"


def _span(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if 0 < seconds < 1 else duration(seconds)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 36_000 else _span(seconds)


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "?"


def _with_code(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _place(place: str) -> str:
    return place.removeprefix("file://")
