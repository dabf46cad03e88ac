"""The walks of ``cwltool.utils`` over input and output objects, of which each job takes about thirty, and ``do_eval``.

Whether a value is a ``MutableMapping`` is asked of an abstract base class, in Python, and each word and number of an
object is visited. What is walked here is made of dicts and lists and their subclasses, ruamel's among them, and that is
a question that the interpreter answers. A text without an expression is its own value, and no object need be walked for
it. The URL of a File that has all its names is not taken apart again, nor is that of a parameter.

To be dropped when cwltool asks for ``dict`` and ``list`` itself, or is compiled.
"""

from __future__ import annotations

import os.path
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cwl_utils import expression
from cwltool import builder, process, utils

from gridcwl.cwl.patches.upstream import Upstream

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L227",
        "shortname",
        "364d31442fc59f84",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/utils.py#L225",
        "visit_files",
        "e8fc827974ef334a",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/utils.py#L237",
        "visit_directories",
        "693bf46960d87e9a",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/utils.py#L468",
        "normalizeFilesDirs",
        "293d04c014749fdf",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwl-utils/blob/0.45/src/cwl_utils/utils.py#L58",
        "bytes2str_in_dicts",
        "3b4bb19d3d41f8a3",
    ),
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
_CONTAINERS = (dict, list)
_FILES, _DIRECTORIES, _BOTH = ("File",), ("Directory",), ("File", "Directory")
PLAIN_URL = re.compile(r'(?:[a-z]+://[A-Za-z0-9.:@-]*/|_:)[!"$-:<->@-Z\\^-~]*[A-Za-z0-9_.~-]')
"""One whose path is what it ends in, and is no folder's."""
_NORMALIZE = "normalizeFilesDirs"
_NAMERS = ("checker", "command_line_tool", "process", "workflow", "workflow_job")
_USERS = ("builder", "command_line_tool", "main", "process", "utils")


def apply() -> None:
    """Replace the functions, in the modules that have them, and the classes that ``utils`` and ``builder`` ask for."""
    for module in (utils, builder):
        module.MutableMapping = dict
        module.MutableSequence = list
    walks = (visit_files, visit_directories, visit_files_directories)
    for module in filter(None, (sys.modules.get(f"cwltool.{name}") for name in _USERS)):
        for walk in walks:
            if hasattr(module, walk.__name__):
                setattr(module, walk.__name__, walk)
        if hasattr(module, _NORMALIZE):
            setattr(module, _NORMALIZE, normalize)
    for module in filter(None, (sys.modules.get(f"cwltool.{name}") for name in _NAMERS)):
        module.shortname = shortname  # type: ignore[attr-defined]
    builder.Builder.do_eval = do_eval
    expression.bytes2str_in_dicts = decode


def visit_files(value: Any, visit: Callable[[Any], Any]) -> None:
    """Every File, the outer before those in it."""
    _visit(value, visit, _FILES)


def visit_directories(value: Any, visit: Callable[[Any], Any]) -> None:
    """Every Directory, the outer before those in it."""
    _visit(value, visit, _DIRECTORIES)


def visit_files_directories(value: Any, visit: Callable[[Any], Any]) -> None:
    """Every File and Directory, the outer before those in it."""
    _visit(value, visit, _BOTH)


def _visit(value: Any, visit: Callable[[Any], Any], classes: tuple[str, ...]) -> None:
    if isinstance(value, dict):
        if value.get("class") in classes:
            visit(value)
        inner = value.values() if type(value) is dict else [value[key] for key in value]
    elif isinstance(value, list):
        inner = value
    else:
        return
    for item in inner:
        if isinstance(item, _CONTAINERS):
            _visit(item, visit, classes)


def normalize(value: Any) -> None:
    """``utils.normalizeFilesDirs``: what is complete stays as it is."""
    _visit(value, _normalized, _BOTH)


def _normalized(entry: Any) -> None:
    location, name = entry.get("location"), entry.get("basename")
    if not name or type(location) is not str or PLAIN_URL.fullmatch(location) is None:
        _normalize(entry)
    elif entry["class"] == "File":
        root, extension = os.path.splitext(name)  # noqa: PTH122  as cwltool's
        if entry.get("nameroot") != root:
            entry["nameroot"] = str(root)
        if entry.get("nameext") != extension:
            entry["nameext"] = str(extension)


def decode(value: Any) -> Any:
    """``bytes2str_in_dicts``: bytes become text, of a list only in its first item."""
    if isinstance(value, dict):
        for key in value:
            item = value[key]
            if isinstance(item, _CONTAINERS):
                decode(item)
            elif isinstance(item, bytes):
                value[key] = item.decode("utf-8")
    elif isinstance(value, list) and value:
        value[0] = decode(value[0])
    elif isinstance(value, bytes):
        return value.decode("utf-8")
    return value


def do_eval(
    self: Any, written: Any, context: Any = None, recursive: bool = False, strip_whitespace: bool = True
) -> Any:
    """``Builder.do_eval``: what holds no expression is its own value."""
    if isinstance(written, str):
        if "$(" not in written and "${" not in written:
            return written
    elif not recursive:
        return written
    return _do_eval(self, written, context, recursive, strip_whitespace)


shortname: Callable[[str], str] = lru_cache(maxsize=4096)(process.shortname)
"""The name of a parameter, of its URL."""
_do_eval = builder.Builder.do_eval
_normalize = utils.normalizeFilesDirs
