"""Where the conformance cases are, what is expected of each, and how one is run in this process."""

from __future__ import annotations

import functools
import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cwltest.compare
from cwltest.utils import load_and_validate_tests, shortname
from ruamel.yaml import YAML

from gridcwl.cli.main import main

HERE = Path(__file__).parent
MISSING = """
======================================================================
The CWL conformance cases are not here: NONE OF THEM IS RUN.
Put them beside this checkout as ../shared/conformance, or set
CWL_CONFORMANCE to a folder that holds conformance_tests.yaml, as from
  git clone https://github.com/common-workflow-language/cwl-v1.2
======================================================================
"""


@dataclass(frozen=True, slots=True)
class Version:
    """Where the cases of a version of CWL are."""

    variable: str
    files: tuple[str, ...] = ("conformance_tests.yaml",)
    development: bool = False


VERSIONS = {
    "v1.0": Version("CWL_CONFORMANCE_V10", ("conformance_test_v1.0.yaml", "conformance_tests.yaml")),
    "v1.1": Version("CWL_CONFORMANCE_V11"),
    "v1.2": Version("CWL_CONFORMANCE"),
    "v1.3": Version("CWL_CONFORMANCE_V13", development=True),
}


def suite_file(version: str = "v1.2") -> Path | None:
    """The file that lists the cases of a version; None if it is nowhere."""
    where = VERSIONS[version]
    beside = HERE.parents[1].parent / "shared" / "conformance" if version == "v1.2" else None
    for folder in (os.environ.get(where.variable), beside):
        for name in where.files:
            if folder and (Path(folder) / name).is_file():
                return Path(folder) / name
    return None


def suite_folder(version: str = "v1.2") -> Path | None:
    """The folder of the cases, from which their paths count; None if it is nowhere."""
    file = suite_file(version)
    return file and file.parent


@functools.cache
def load_cases(version: str = "v1.2") -> list[dict[str, Any]]:
    """All cases, as cwltest reads them; reading them takes seconds."""
    file = suite_file(version)
    if file is None:
        return []
    cases, _ = load_and_validate_tests(str(file))
    return [_plain(case) for case in cases]


def _plain(case: dict[str, Any]) -> dict[str, Any]:
    """A case as the file has it: cwltest shortens ids, and makes its documents URLs."""
    return {**case, "id": shortname(case["id"]), "tags": case.get("tags", [])}


def expected_failures(way: str, version: str = "v1.2") -> dict[str, str]:
    """Case id -> why it cannot pass this way (``docker``, ``podman``, ``no-container``, ``rucio`` or ``dirac``)."""
    entries = YAML(typ="safe").load((HERE / "expected.yaml").read_text("utf-8")) or []
    return {
        entry["id"]: entry["reason"]
        for entry in entries
        if way in entry["ways"] and version in entry.get("versions", VERSIONS)
    }


class CaseFailed(AssertionError):
    """A case did not do what it should."""


def run_case(
    case: dict[str, Any], options: list[str], outdir: Path, seen: Callable[[Any], Any] = lambda outputs: outputs
) -> None:
    """Run a case through the command line's ``main`` in this process; as cwltest does it, without a start for each.

    ``seen`` makes the output object what cwltest can look at.

    Raises:
        CaseFailed: the exit code or the output object is not the expected one.
    """
    arguments = arguments_of(case, options, outdir)
    written, errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    before, sys.stdout = sys.stdout, written
    try:
        with redirect_stderr(errors):
            code = main(arguments)
    finally:
        sys.stdout = before
    written.flush()
    text = f"gridcwl {' '.join(arguments)}\n{errors.getvalue()}"
    judge(case, code, written.buffer.getvalue(), text, seen)  # type: ignore[attr-defined]


def arguments_of(case: dict[str, Any], options: list[str], outdir: Path) -> list[str]:
    """The words behind ``gridcwl`` that run a case."""
    return [*options, f"--outdir={outdir}", "--quiet", case["tool"], *([case["job"]] if case.get("job") else [])]


def judge(
    case: dict[str, Any], code: int, stdout: bytes, text: str, seen: Callable[[Any], Any] = lambda outputs: outputs
) -> None:
    """Compare the end of a case with what is expected; ``text`` is what was run and what it said.

    Raises:
        CaseFailed: the exit code or the output object is not the expected one.
    """
    if case.get("should_fail"):
        if code == 0:
            raise CaseFailed(f"it should fail, but does not: {text}")
        return
    if code != 0:
        raise CaseFailed(f"exit code {code}: {text}")
    outputs = seen(json.loads(stdout))
    try:
        cwltest.compare.compare(case.get("output"), outputs)
    except cwltest.compare.CompareFail as error:
        raise CaseFailed(f"{error}\n{text}") from error
