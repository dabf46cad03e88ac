"""Where gridcwl and cwltool differ, and are meant to: each with its reason, all in this one place.

What :mod:`compare` takes as equal, with the reasons there: the random names of unnamed standard output and of the
output directory itself, the numbers that tell outputs of one name apart, the order of listings.

What is kept out of the generated documents, because nobody could rely on it in cwltool:

- the text of a whole File or Directory (it holds the random folder where cwltool stages it);
- outputs after a failure: gridcwl keeps the shards that ended well, cwltool keeps what it had when it stopped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One of the two refuses, the other does not, and that is wanted.

    Attributes:
        reason: for people.
        pattern: what the one that refuses says.
    """

    reason: str
    pattern: str


CWLTOOL_REFUSES = (
    Difference(
        "cwltool takes the # in a file name for the begin of a fragment; gridcwl allows any name",
        r"Unhandled error, try again with --debug for more information:\s+'[^']*/ha'",
    ),
    Difference(
        "cwltool moves an output file before it comes to the second output that speaks of it, and falls over",
        r"Unhandled error, try again with --debug for more information:\s+"
        r"('(file:/)?/|\[Errno (2|17|21|20|39)\]|\[\('|Cannot|Destination path)",
    ),
    Difference(
        "cwltool has moved the target of a symbolic link in an output before it takes the link's checksum",
        r"Input object failed validation:\s+\[Errno 2\] No such file or directory: '[^']*/outdir-",
    ),
    Difference(
        "cwltool takes the place where it staged a literal File for one that stays",
        r"No such file or directory:\s+'[^']*/stg[-0-9a-f]{36}/",
    ),
    Difference(
        "cwltool cannot load the contents of a literal File",
        r"Reading _:[-0-9a-f]{36}",
    ),
    Difference(
        "cwltool takes the text of a literal File among the outputs for a path",
        r"Error collecting output for parameter '[^']*':\s+\S+\s+"
        r"\[Errno 2\] No such file or directory:\s+'[^']*/outdir-[^/]*/",
    ),
    Difference(
        "cwltool cannot hand a literal Directory through a tool",
        r"Does not exist or is not a Directory: '_:",
    ),
    Difference(
        "cwltool looks on the disk for a literal File that a lone ExpressionTool hands through",
        r"Input object failed validation:\s+\[Errno 2\] No such file or directory: '_:",
    ),
    Difference(
        "cwltool wants every optional output of a step in cwl.output.json; of a lone tool it does not",
        r"Output is missing expected field",
    ),
    Difference(
        "cwltool cannot load a document whose secondaryFiles is one pattern and not a list",
        r"couldn't load this CWL file[\s\S]*'(str|\w+String)' object has no attribute 'get'",
    ),
    Difference(
        "cwltool takes what stands before the last / of an enum's symbol in a record for the symbol's namespace",
        r"Invalid job input record:[\s\S]*is not a valid \S+,\s+expected one of",
    ),
)


LOST = "cwltool's output object speaks of a file that it has moved to the place of another output"
APART = "cwltool puts a secondary file elsewhere than its primary file, because another output has it too"
RENAMED = "cwltool gives a file that is an output under a new name that name everywhere, also as a secondary file"
MERGED = "cwltool puts all Directories of one name into one place, where their files mix; gridcwl numbers them"

GRIDCWL_REFUSES = (
    Difference(
        "gridcwl does not let a tool write its standard output through the link to an input of the same name",
        r"The tool's output stream cannot be \S+, where an input is",
    ),
    Difference(
        "gridcwl refuses a minimum above its maximum, and amounts that are negative; cwltool runs with them",
        r"(cores|ram|tmpdir|outdir)(Min|Max)( of its ResourceRequirement)? is \S+, (but|which)",
    ),
)


OPEN: tuple[Difference, ...] = ()
"""Mistakes of gridcwl that wait to be fixed: a case in test_findings.py fails for each, until then."""


def known(said: str, among: tuple[Difference, ...]) -> Difference | None:
    """The wanted difference that shows in what the one that refuses said."""
    return next((one for one in among if re.search(one.pattern, said)), None)
