"""The walks of ``cwltool.utils`` over input and output objects, of which each job takes about thirty.

Whether a value is a ``MutableMapping`` is asked of an abstract base class, in Python. What is walked here is made of
dicts and lists and their subclasses, ruamel's among them, and that is a question that the interpreter answers.

To be dropped when cwltool asks for ``dict`` and ``list`` itself, or is compiled.
"""

from __future__ import annotations

from cwltool import builder, utils

from gridcwl.cwl.patches.upstream import Upstream

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/utils.py#L249",
        "visit_files_directories",
        "cf8a6a73d151a9a0",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/builder.py#L661",
        "Builder.do_eval",
        "3118702b9508eb08",
    ),
)


def apply() -> None:
    """Replace the classes that both modules ask for."""
    for module in (utils, builder):
        module.MutableMapping = dict
        module.MutableSequence = list
