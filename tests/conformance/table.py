"""Conformance as a table: the cases of each CWL version, each way of running them, as a page and badges.

    make conformance                            # all that can be found and run here
    python -m tests.conformance.table --versions v1.2 --ways docker podman [--workers 2] [--only ID ...]
    python -m tests.conformance.table --page    # only write the page, from the results below build/conformance

The cases of a version are looked for where ``CWL_CONFORMANCE`` (v1.2), ``CWL_CONFORMANCE_V10``, ``_V11`` and ``_V13``
point to: checkouts of the repositories that publish them. The ways ``rucio`` and ``dirac`` need a testbed whose
environment is exported. Exit code 1 if a case fails that ``expected.yaml`` does not name.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gridcwl import __version__

from .cases import VERSIONS, CaseFailed, expected_failures, load_cases, run_case, suite_folder
from .output_objects import with_local_files

TOP = Path(__file__).parents[2]
RESULTS = TOP / "build" / "conformance"
PAGE = TOP / "docs" / "reference" / "conformance.md"
BADGES = TOP / "docs" / "reference" / "conformance"
LIMIT_S = 300
"""For one case."""


CONFIG = """
[dirac]
longest_pause = 2
[dirac.engines]
"*" = ["docker"]
"""
"""The testbed's sites run on this machine, with docker."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way of running the cases.

    Attributes:
        title: for the page.
        options: of the command line.
        expected: the names under which ``expected.yaml`` lists what cannot pass.
        remote: outputs are in Rucio and are downloaded.
    """

    title: str
    options: tuple[str, ...]
    expected: tuple[str, ...]
    remote: bool = False


WAYS: Mapping[str, Way] = {
    "docker": Way("docker", ("--docker",), ("docker",)),
    "podman": Way("podman", ("--podman",), ("podman",)),
    "no-container": Way("no container", ("--no-container",), ("no-container",)),
    "rucio": Way(
        "no container, files in Rucio",
        ("--no-container", "--store", "rucio", "--rucio-rse", "LYON-DISK"),
        ("no-container", "rucio"),
        remote=True,
    ),
    "dirac": Way(
        "DIRAC jobs in docker, files in Rucio",
        ("--backend", "dirac", "--store", "rucio"),
        ("docker", "rucio", "dirac"),
        remote=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one case."""

    id: str
    required: bool
    passed: bool
    message: str
    seconds: float


def _enter(folder: str, state: str) -> None:
    os.environ["GRIDCWL_STATE_DIR"] = state
    config = Path(state, "config.toml")
    config.write_text(CONFIG)
    os.environ["GRIDCWL_CONFIG"] = str(config)
    os.chdir(folder)
    signal.signal(signal.SIGALRM, _too_long)


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError(f"it took more than {LIMIT_S} s")


def _run(case: dict[str, Any], way: str, development: bool) -> Verdict:
    options = [*WAYS[way].options, *(["--enable-dev"] if development else [])]
    begun, message = time.monotonic(), ""
    signal.alarm(LIMIT_S)
    try:
        with tempfile.TemporaryDirectory(prefix="gridcwl-conformance-", ignore_cleanup_errors=True) as outdir:
            seen = with_local_files if WAYS[way].remote else lambda outputs: outputs
            run_case(case, options, Path(outdir), seen)
    except (CaseFailed, TimeoutError, AssertionError) as error:
        message = str(error)
    finally:
        signal.alarm(0)
    required = "required" in case["tags"]
    return Verdict(case["id"], required, not message, message, round(time.monotonic() - begun, 2))


def run(version: str, way: str, workers: int, only: Sequence[str]) -> list[Verdict]:
    """Run the cases of a version one way and keep the verdicts below ``build/conformance``.

    Those of some cases replace what was kept of them.
    """
    folder = suite_folder(version)
    cases = [case for case in load_cases(version) if not only or case["id"] in only]
    assert folder is not None
    with (
        tempfile.TemporaryDirectory(prefix="gridcwl-conformance-state-", ignore_cleanup_errors=True) as state,
        ProcessPoolExecutor(workers, initializer=_enter, initargs=(str(folder), state)) as pool,
    ):
        futures = [pool.submit(_run, case, way, VERSIONS[version].development) for case in cases]
        verdicts = [future.result() for future in futures]
    kept = RESULTS / f"{version}-{way}.json"
    told = {v.id: {"id": v.id, "required": v.required, "passed": v.passed} for v in verdicts}
    if not only:
        RESULTS.mkdir(parents=True, exist_ok=True)
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        found = {"version": version, "way": way, "gridcwl": __version__, "date": day, "cases": list(told.values())}
        kept.write_text(json.dumps(found, indent=1) + "\n")
    elif kept.exists():
        found = json.loads(kept.read_text())
        found["cases"] = [told.get(case["id"], case) for case in found["cases"]]
        kept.write_text(json.dumps(found, indent=1) + "\n")
    return verdicts


def unexpected(verdicts: Sequence[Verdict], version: str, way: str) -> list[str]:
    """What has to be looked at: cases that fail without a reason, and reasons of cases that pass."""
    reasons: dict[str, str] = {}
    for name in WAYS[way].expected:
        reasons |= expected_failures(name, version)
    lines = [f"FAILED {v.id}: {v.message}" for v in verdicts if not v.passed and v.id not in reasons]
    return lines + [f"{v.id} passes: remove it from expected.yaml" for v in verdicts if v.passed and v.id in reasons]


def results(folder: Path = RESULTS) -> Iterator[dict[str, Any]]:
    """What was kept of earlier runs, versions and ways in their order."""
    for version in VERSIONS:
        for way in WAYS:
            file = folder / f"{version}-{way}.json"
            if file.exists():
                yield json.loads(file.read_text())


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """The text of ``docs/reference/conformance.md``."""
    rows, failures = [], []
    for one in found:
        cases = one["cases"]
        passed = sum(case["passed"] for case in cases)
        required = [case for case in cases if case["required"]]
        badge = f"![{one['version']} {one['way']}](conformance/{badge_name(one)})"
        fulfilled = f"{sum(case['passed'] for case in required)} of {len(required)}"
        title = WAYS[one["way"]].title
        rows.append(
            f"| {one['version']} | {title} | {passed} of {len(cases)} | {fulfilled} | {one['date']} | {badge} |"
        )
        reasons: dict[str, str] = {}
        for name in WAYS[one["way"]].expected:
            reasons |= expected_failures(name, one["version"])
        failures += [
            f"| {one['version']} | {title} | `{case['id']}` | {reasons.get(case['id'], 'not understood yet')} |"
            for case in cases
            if not case["passed"]
        ]
    return PAGE_TEXT.format(rows="\n".join(rows), failures="\n".join(failures), version=__version__)


PAGE_TEXT = """\
# Conformance

The conformance cases that the CWL project publishes, run by gridcwl {version} in each way it can run a job. This page
and its badges are written by

    make conformance

which runs the cases that it finds: v1.2 at `CWL_CONFORMANCE`, the others at `CWL_CONFORMANCE_V10`,
`CWL_CONFORMANCE_V11` and `CWL_CONFORMANCE_V13` (a draft, run with `--enable-dev`). Get them from the repositories
`cwl-v1.2`, `cwl-v1.1`, `cwl-v1.3` and `common-workflow-language` of `github.com/common-workflow-language`.

| CWL | how | passed | of these required | date | |
|---|---|---|---|---|---|
{rows}

## Cases that do not pass

| CWL | how | case | why |
|---|---|---|---|
{failures}
"""


def badge_name(one: Mapping[str, Any]) -> str:
    """The file of a badge."""
    return f"{one['version']}-{one['way']}.svg"


def badge(one: Mapping[str, Any]) -> str:
    """A badge as SVG: what was run, and how many per cent of the cases passed."""
    cases = one["cases"]
    share = sum(case["passed"] for case in cases) / max(1, len(cases))
    left, right = f"CWL {one['version']} {one['way']}", f"{int(share * 1000) / 10:g} %"
    colour = "#2e7d32" if share >= 0.99 else "#b26a00" if share >= 0.9 else "#c62828"
    width, wide = 7 * len(left) + 12, 7 * len(right) + 12
    text = 'fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + wide}" height="20" role="img" '
        f'aria-label="{left}: {right}"><title>{left}: {right}</title>'
        f'<rect width="{width}" height="20" fill="#555"/>'
        f'<rect x="{width}" width="{wide}" height="20" fill="{colour}"/>'
        f'<g {text}><text x="6" y="14">{left}</text><text x="{width + 6}" y="14">{right}</text></g></svg>\n'
    )


def write_page() -> None:
    """Write the page and the badges from what was kept."""
    found = list(results())
    if not found:
        raise SystemExit(f"no results below {RESULTS}: run some first")
    PAGE.write_text(page(found))
    BADGES.mkdir(exist_ok=True)
    for one in found:
        (BADGES / badge_name(one)).write_text(badge(one))
    print(f"{PAGE.relative_to(TOP)}: {len(found)} rows")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="*", choices=VERSIONS, default=list(VERSIONS))
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=["docker", "podman", "no-container"])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="*", default=[], metavar="ID", help="these cases; the page is not written")
    parser.add_argument("--page", action="store_true", help="write the page from what was run before")
    given = parser.parse_args()
    if given.page:
        write_page()
        return 0
    wrong = 0
    for version in given.versions:
        if suite_folder(version) is None:
            print(f"{version}: its cases are not here; set {VERSIONS[version].variable}", file=sys.stderr)
            continue
        for way in given.ways:
            verdicts = run(version, way, given.workers, given.only)
            print(f"{version} {way}: {sum(v.passed for v in verdicts)} of {len(verdicts)} passed", flush=True)
            for line in unexpected(verdicts, version, way):
                wrong += 1
                print(line, flush=True)
    if not given.only:
        write_page()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
