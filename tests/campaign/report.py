"""What a campaign has done: a line of JSON for each trial, and the page ``docs/reference/endurance.md``."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from campaign.trials import Outcome

_HEAD = """\
# Endurance

What a fault campaign has found. It starts generated workflows (scatters, workflows in workflows, conditions, loops,
secondary files, directories), disturbs them, resumes them until they are done, and looks from outside at what must
hold whatever goes wrong:

- the outputs are those of an undisturbed run;
- no job whose result was recorded runs again, and none is lost: each tool writes to a file that gridcwl does not know;
- what Rucio knows is there, with size and checksum; what is stored is registered;
- no process, container, lock or temporary file is left;
- exit code and message are right, and the message says how to resume.

<!-- not run: it takes 20 minutes -->
```console
$ make campaign                           # 20 minutes; MINUTES=300 for hours, ON="bare+rucio dirac+rucio" for some
$ make campaign-crash-points              # each system call that changes something, one after the other
```

`make test` runs a short seed of both. A violation is printed with a plan; `python -m campaign --repeat PLAN` does
the same again, and `--reduce PLAN` leaves out faults as long as the violation stays
(with `PYTHONPATH=tests:tests/helpers`).

Known: a job at DIRAC that is killed between its upload and its end leaves files in storage that nobody registers or
lists.

Where a process may map no more memory (`RLIMIT_AS`), Python 3.11 can wait forever for a thread that could not begin.
The campaign kills such a client and resumes the run.

DIRAC and Rucio are the fakes of `gridcwl.testbed.fakes` and of the tests, behind sockets that refuse, freeze, answer
late and lose answers. Servers of a real testbed are stopped and paused by the tests in `tests/faults`, and not by the
campaign; drivers of the service are killed in `tests/service`. Delay and loss by `tc` are not part of it.
"""


def line_of(outcome: Outcome) -> str:
    """A trial in a line."""
    plan = outcome.plan
    return json.dumps(
        {
            "seed": plan.seed,
            "on": f"{plan.backend} + {plan.store}",
            "faults": outcome.done,
            "violations": outcome.violations,
            "seconds": round(outcome.seconds, 1),
            "plan": str(plan),
        }
    )


def read(files: Iterable[Path]) -> list[dict[str, Any]]:
    """The trials of some campaigns."""
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def page(trials: Iterable[Mapping[str, Any]], points: Iterable[Mapping[str, Any]], when: str) -> str:
    """The page."""
    trials, points = list(trials), list(points)
    faults: Counter[str] = Counter()
    places: dict[str, Counter[str]] = defaultdict(Counter)
    violations: Counter[tuple[str, str]] = Counter()
    seen: set[str] = set()
    for trial in trials:
        faults.update(trial["faults"])
        places[trial["on"]].update(trial["faults"])
        for fault, text in trial["violations"]:  # what is left in a catalogue is seen again in the next trial
            violations[trial["on"], fault] += text not in seen
            seen.add(text)
    seeds = sorted({trial["seed"] for trial in trials})
    shown = f"{seeds[0]} to {seeds[-1]}" if seeds else "none"
    columns = sorted(places)
    lines = [
        _HEAD,
        f"## Faults\n\n{when}: {sum(faults.values()):,} faults in {len(trials):,} runs, with seeds {shown}; "
        f"{sum(violations.values())} violations.\n",
        "Each cell: faults / violations.\n",
        "| fault | " + " | ".join(columns) + " | all |",
        "|---|" + "---|" * (len(columns) + 1),
    ]
    for fault in sorted(faults):
        cells = [_cell(places[one][fault], violations[one, fault]) for one in columns]
        of_all = sum(count for (_, name), count in violations.items() if name == fault)
        lines.append(f"| {fault} | {' | '.join(cells)} | {_cell(faults[fault], of_all)} |")
    sums = [_cell(places[one].total(), sum(n for (on, _), n in violations.items() if on == one)) for one in columns]
    lines.append(f"| all | {' | '.join(sums)} | {_cell(faults.total(), violations.total())} |")
    if points:
        lines += ["", *_of_points(points)]
    return "\n".join(lines) + "\n"


def _cell(count: int, wrong: int) -> str:
    return f"{count} / {wrong}" if count else ""


def _of_points(points: Iterable[Mapping[str, Any]]) -> list[str]:
    """The table of crash points."""
    tried: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: dict[str, Counter[str]] = defaultdict(Counter)
    for point in points:
        tried[point["on"]][point["kind"]] += 1
        wrong[point["on"]][point["kind"]] += bool(point["violations"])
    kinds = ("journal", "publication", "server", "other")
    lines = [
        "## Crash points\n",
        "A run is ended before its first system call that changes something, another before its second, and so on;\n"
        "each is resumed. Columns say what the call writes to: the journal, the output directory and the list of what\n"
        "is in it, a connection to a server, anything else. Each cell: points / violations.\n",
        "| run | " + " | ".join(kinds) + " |",
        "|---|" + "---|" * len(kinds),
    ]
    for one in sorted(tried):
        lines.append(f"| {one} | {' | '.join(_cell(tried[one][kind], wrong[one][kind]) for kind in kinds)} |")
    return lines


def line_of_point(on: str, number: int, kind: str, call: str, violations: Any) -> str:
    """A crash point in a line."""
    return json.dumps({"on": on, "number": number, "kind": kind, "call": call, "violations": violations})
