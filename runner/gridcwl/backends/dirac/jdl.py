"""Job descriptions in DIRAC's language. Pure functions: values in, text out.

Nothing of the user's goes into ``Arguments``: DIRAC refuses nested quotes and semicolons there, and its JobAgent takes
every quotation mark away. What a job does is in the input sandbox; its description says only which part of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gridcwl.backends import nodes
from gridcwl.backends.dirac.matching import JobRequirements
from gridcwl.errors import ConfigError

START = nodes.START
RESULTS = "gridcwl-results.tar.gz"
STDOUT, STDERR = "std.out", "std.err"
LONGEST_NAME = 128
"""Characters of a JobName that DIRAC keeps (JobDB.sql)."""

_WORD = re.compile(r"[A-Za-z0-9/][A-Za-z0-9 .:/|_+@=-]*\Z")
"""What may stand between quotation marks: no quote, bracket, semicolon or percent sign, which ClassAds would read."""


@dataclass(frozen=True, slots=True)
class Batch:
    """DIRAC jobs that differ in nothing but which part of the sandbox they run."""

    group: str
    """JobGroup: the run."""
    prefix: str
    """What their names have in common at the beginning."""
    spans: tuple[str, ...]
    """What follows in each name, and says which jobs of the sandbox it runs."""
    suffix: str
    needs: JobRequirements
    sandbox: str
    """Where the input sandbox is: ``SB:...``."""


def text(batch: Batch) -> str:
    """The parametric description of all jobs of a batch.

    Raises:
        ConfigError: a site, tag or the like has a name that DIRAC could not read.
    """
    needs = batch.needs
    lines = [
        _line("Executable", "/bin/sh"),
        f'Arguments = "{START} %s";',
        f'JobName = "{_checked(batch.prefix)}%s{batch.suffix}";',
        _line("JobGroup", batch.group),
        _line("StdOutput", STDOUT),
        _line("StdError", STDERR),
        _line("InputSandbox", [batch.sandbox]),
        _line("OutputSandbox", [STDOUT, STDERR, RESULTS]),
        *_parameters(batch.spans),
    ]
    if needs.processors > 1:
        lines.append(
            _line("MinNumberOfProcessors" if needs.more_processors else "NumberOfProcessors", needs.processors)
        )
    lines += [
        _line(name, value)
        for name, value in (
            ("MinRAM", needs.ram_mib),
            ("CPUTime", needs.cpu_time_s),
            ("Tags", needs.tags),
            ("Site", needs.sites),
            ("BannedSites", needs.banned),
            ("Platform", needs.platform),
            ("Priority", needs.priority),
            ("JobType", needs.job_type),
        )
        if value not in (None, ())
    ]
    return "[\n" + "\n".join(lines) + "\n]"


def _parameters(spans: Sequence[str]) -> list[str]:
    """One value for each job; DIRAC's server reads the text once for each, so the shorter the better."""
    if all(word.isdigit() for word in spans):
        first = int(spans[0])
        if all(int(word) == first + place for place, word in enumerate(spans)):
            return [f"Parameters = {len(spans)};", f"ParameterStart = {first};", "ParameterStep = 1;"]
    return [_line("Parameters", list(spans))]


def _line(name: str, value: object) -> str:
    if isinstance(value, list | tuple):
        return f"{name} = {{{', '.join(_quoted(item) for item in value)}}};"
    return f"{name} = {value};" if isinstance(value, int) else f"{name} = {_quoted(value)};"


def _quoted(value: object) -> str:
    return f'"{_checked(str(value))}"'


def _checked(word: str) -> str:
    if _WORD.match(word) is None:
        raise ConfigError(
            f"DIRAC does not accept the name {word!r}",
            remedy="Correct it in the hint, the placement file, the option or the [dirac] configuration.",
        )
    return word
