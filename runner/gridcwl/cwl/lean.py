"""Importing cwltool without the half of it that gridcwl never uses.

cwltool imports ``cwl_utils.parser``: three generated parsers of ten thousand lines, half a second at every start, which
only its ``--fast-parser`` uses. While cwltool is imported, names stand in for them; afterwards the stand-ins are gone,
so that whoever else in this process imports ``cwl_utils.parser`` gets the real one.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, NoReturn

_PARSERS = (
    "cwl_utils.parser",
    *(f"cwl_utils.parser.cwl_{v}{s}" for v in ("v1_0", "v1_1", "v1_2") for s in ("", "_utils")),
)


class _LeftOut(type):
    """The type of a class that is only ever named, in annotations and ``isinstance``."""

    def __call__(cls, *_arguments: Any, **_named: Any) -> NoReturn:
        """Using one is a mistake of ours: cwltool has begun to need what we leave out."""
        raise ImportError(f"cwl_utils.parser's {cls.__name__} is left out by gridcwl.cwl.lean, but is needed")


class _StandIn(ModuleType):
    """A module that has every name."""

    __path__: list[str] = []  # noqa: RUF012  what makes it a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = sys.modules.get(f"{self.__name__}.{name}") or _LeftOut(name, (), {})
        setattr(self, name, value)
        return value


def import_cwltool() -> None:
    """Import the parts of cwltool that every run uses."""
    if "cwltool.load_tool" in sys.modules or "cwl_utils.parser" in sys.modules:
        return
    for name in _PARSERS:
        sys.modules[name] = _StandIn(name)
    try:
        importlib.import_module("cwltool.workflow")
    finally:
        for name in _PARSERS:
            del sys.modules[name]
        vars(importlib.import_module("cwl_utils")).pop("parser", None)
