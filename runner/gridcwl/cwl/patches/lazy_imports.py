"""Importing cwltool without the half of it that most runs never use.

cwltool imports ``cwl_utils.parser``, generated parsers of ten thousand lines that only its ``--fast-parser`` uses, and
libraries for what few documents ask for: HTTP, RDF, provenance, colours. They take longer than all the rest. While
cwltool is imported, names stand in for them. What stands in for a library gives way to the real one as soon as it is
used; and as the stand-ins are no longer among the modules afterwards, whoever else imports one gets the real one.

Of ``urllib.request``, which loads an HTTP client, all runs use two functions that turn paths into URLs and back.

To be dropped when cwltool imports these itself only where it uses them.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from gridcwl import imports
from gridcwl.cwl.patches.upstream import Upstream

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/load_tool.py#L14",
        "cwl_v1_2",
        "c17ae9cdde3d7fce",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/load_tool.py#L373",
        "resolve_and_validate_document",
        "3ad72585364f9757",
    ),
)

_PARSERS = "cwl_utils.parser"
_REQUEST = "urllib.request"
_SELDOM = ("cachecontrol", "coloredlogs", "prov", "psutil", "rdflib", "requests", "rich", "rich_argparse")
_USERS = ("cwl_utils", "cwltool", "schema_salad")
"""The packages whose modules hold stand-ins."""
_KNOWN: dict[int, tuple[Any, Any]] = {}
"""What stand-ins that were used stand for, by their identity."""


class _Name(type):
    """The type of what stands in for a class, function or object of a library."""

    def __call__(cls, *given: Any, **named: Any) -> Any:
        """Make the real one; while cwltool is imported, only remember that it is to be made."""
        if _Finder.active:
            return _Made(cls, given, named)
        return _real(cls)(*given, **named)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if _Finder.active:
            return _Name(name, (), {"__module__": f"{cls.__module__}.{cls.__name__}"})
        return getattr(_real(cls), name)

    def __getitem__(cls, key: Any) -> Any:
        return _real(cls)[key]

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, _real(cls)) if _of(cls).partition(".")[0] in sys.modules else False


class _LeftOut(type):
    """The type of what stands in for a class of the parsers: only ever named, in annotations and ``isinstance``."""

    def __call__(cls, *_arguments: Any, **_named: Any) -> NoReturn:
        """Using one is a mistake of ours: cwltool has begun to need what we leave out."""
        raise ImportError(
            f"cwl_utils.parser's {cls.__name__} is needed, but gridcwl.cwl.patches.lazy_imports leaves it out"
        )


class _Made:
    """An object of a library that cwltool makes while it is imported, made when it is used."""

    def __init__(self, kind: _Name, given: Sequence[Any], named: dict[str, Any]) -> None:
        self.kind, self.given, self.named = kind, given, named

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(self), name)

    def __getitem__(self, key: Any) -> Any:
        return _real(self)[key]


class _StandIn(ModuleType):
    """A module that has every name."""

    __path__: list[str] = []  # noqa: RUF012  what makes it a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not _Finder.active:
            return getattr(_real(self), name)
        kind = _LeftOut if self.__name__.startswith(_PARSERS) else _Name
        value = sys.modules.get(f"{self.__name__}.{name}") or kind(name, (), {"__module__": self.__name__})
        setattr(self, name, value)
        return value


class _PathsAndUrls(ModuleType):
    """``urllib.request`` as Python 3.11 has it; only these two functions need no more than ``urllib.parse``."""

    url2pathname = staticmethod(urllib.parse.unquote)
    pathname2url = staticmethod(urllib.parse.quote)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


class _Finder(MetaPathFinder, Loader):
    """Finds stand-ins for the libraries that are not there yet."""

    active = False

    def __init__(self) -> None:
        self._tops = {name for name in _SELDOM if name not in sys.modules}
        self.stand_ins: list[str] = []
        self._thread = threading.get_ident()

    def find_spec(self, fullname: str, _path: Any, _target: Any = None) -> ModuleSpec | None:
        """A stand-in for a module of a library that is seldom needed; None for all else."""
        if threading.get_ident() != self._thread:
            return None
        if fullname.partition(".")[0] in self._tops or f"{fullname}.".startswith(f"{_PARSERS}."):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """A stand-in."""
        self.stand_ins.append(spec.name)
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: it has every name already."""


def _of(value: Any) -> str:
    """The module that a stand-in is, or belongs to."""
    if isinstance(value, _StandIn):
        return value.__name__
    return str((value.kind if isinstance(value, _Made) else value).__module__)


def _real(value: Any) -> Any:
    """What this stands in for. All stand-ins of that library give way to the real things, but for those that compiled
    modules hold on to.
    """
    known = _KNOWN.get(id(value))
    if known is not None:
        return known[1]
    library = _of(value).partition(".")[0]
    with imports.one_at_a_time():
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in _USERS:
                for key, held in list(vars(module).items()):
                    if isinstance(held, _StandIn | _Name | _Made) and _of(held).partition(".")[0] == library:
                        setattr(module, key, _found(held))
        real = _found(value)
    _KNOWN[id(value)] = value, real
    return real


def _found(value: Any) -> Any:
    if isinstance(value, _Made):
        return _found(value.kind)(*value.given, **value.named)
    if isinstance(value, _StandIn):
        return importlib.import_module(value.__name__)
    return pkgutil.resolve_name(f"{value.__module__}.{value.__name__}")


@contextmanager
def _without_the_seldom_used() -> Iterator[None]:
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    _Finder.active = True
    if _REQUEST not in sys.modules and sys.version_info < (3, 12) and os.name == "posix":
        urllib.request = sys.modules[_REQUEST] = _PathsAndUrls(_REQUEST)
    try:
        yield
    finally:
        _Finder.active = False
        sys.meta_path.remove(finder)
        if isinstance(sys.modules.get(_REQUEST), _PathsAndUrls):
            del sys.modules[_REQUEST]
        for name in finder.stand_ins:
            sys.modules.pop(name, None)
        vars(importlib.import_module("cwl_utils")).pop("parser", None)


def import_cwltool() -> None:
    """Import the parts of cwltool that every run uses."""
    if "cwltool.load_tool" in sys.modules or _PARSERS in sys.modules:
        return
    with imports.one_at_a_time(), _without_the_seldom_used():
        importlib.import_module("cwltool.workflow")
