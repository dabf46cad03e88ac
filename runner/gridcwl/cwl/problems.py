"""What cwltool and schema-salad raise, as errors of our own tree, and their log as ours."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cwltool.errors import UnsupportedRequirement, WorkflowException
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from schema_salad.exceptions import SchemaSaladException
from schema_salad.ref_resolver import to_validation_exception

from gridcwl import plugins
from gridcwl.cwl.messages import (
    bare_name,
    explained,
    for_patterns,
    for_people,
    known_requirement,
    leading_place,
    tidy,
    without_types,
)
from gridcwl.cwl.placement import kind_of
from gridcwl.cwl.processes import is_processes
from gridcwl.cwl.yaml_messages import Explanation
from gridcwl.errors import ExpressionError, GridCWLError, LimitExceeded, OutputError, UnsupportedError
from gridcwl.model import limits
from gridcwl.suggest import did_you_mean

__all__ = ["colons_in_names", "problems", "route_logging", "tidy"]

_EVALUATION = re.compile(r"(?:Expression )?evaluation error:\s*")
_SCHEMA = re.compile(r"Could not load extension schema (\S+):")
_PLACE = re.compile(r"^(?:Error collecting output for parameter '[^']+': ?)?\S+:\d+:\d+: ?")
_OF_OVERRIDES = re.compile(
    r"Field 'overrideTarget' contains undefined|"
    r"(?:^test:|checking field 'requirements')[\s\S]*Field 'class' contains undefined"
)
"""Warnings of schema-salad's about overrides: loading.py and run_requirements.py look at them themselves."""
_UNDECLARED = re.compile(r"^(\S+:\d+:\d+:)[\s\S]*Unsupported scheme '([^']+)' in url: (\S+)$")
_OF_NAMES = re.compile(r" object (?:id|name) \S.* previously defined$")
"""Its warnings of names that occur twice, by the place of the first only: same_names.py finds both."""
_HINT = re.compile(r"(\S+:\d+:\d+:)[\s\S]*Field 'class' contains undefined reference to\s+(?:Warning:\s+)?'([^']+)'")


@contextmanager
def problems(kind: type[GridCWLError], what: str, *, remedy: str = "") -> Iterator[None]:
    """Turn what the libraries raise inside into ``kind`` with a message that begins with ``what``.

    Raises:
        UnsupportedError: the document asks for what cwltool, and so gridcwl, does not support.
        ExpressionError: an expression failed or took too long.
        GridCWLError: of the given kind, for everything else that is the document's or the input's fault.
    """
    try:
        yield
    except GridCWLError:
        raise
    except UnsupportedRequirement as error:
        raise _translated(error, UnsupportedError, what, remedy) from error
    except (SchemaSaladException, WorkflowException) as error:
        raise _translated(error, kind, what, remedy) from error
    except YAMLError as error:
        raise _unreadable(error, kind, what, remedy) from error
    except StopIteration as error:
        raise kind(f"{what}: it is empty", remedy=remedy) from error
    except UnicodeDecodeError as error:
        text = f"{what}: it is not text (byte {error.object[error.start]:#x} at position {error.start})"
        raise kind(text, remedy=remedy) from error
    except OSError as error:
        named = f" ({error.filename})" if error.filename else ""
        raise kind(f"{what}: {error.strerror or tidy(error)}{named}", remedy=remedy) from error
    except json.JSONDecodeError as error:
        subject = "cwl.output.json" if issubclass(kind, OutputError) else "it"
        raise kind(f"{what}: {subject} is not valid JSON: {error}", remedy=remedy) from error
    except RecursionError as error:
        if issubclass(kind, OutputError):
            raise LimitExceeded(f"{what}: the output object", limits.JSON_DEPTH, "levels of nesting") from error
        message = f"{what}: it is nested too deeply, or leads back to itself"
        raise kind(message, remedy="Look for a 'run' or $import in a circle.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # cwltool meets documents of the wrong shape with these; the chained error keeps the trace for --debug.
        logging.getLogger("gridcwl.cwl").debug("cwltool stumbled", exc_info=True)
        plainly = explained(tidy(error))
        if plainly is not None:
            raise kind(f"{what}: {plainly.message}", remedy=plainly.remedy) from error
        text = without_types(tidy(error))
        raise kind(f"{what}: it has a form that is not understood here: {text}", remedy=remedy) from error


def _unreadable(error: YAMLError, kind: type[GridCWLError], what: str, remedy: str) -> GridCWLError:
    if isinstance(error, MarkedYAMLError):
        return _translated(to_validation_exception(error), kind, what, remedy)
    return kind(f"{what}: it is not readable YAML: {tidy(error)}", remedy=remedy)


def _translated(error: Exception, kind: type[GridCWLError], what: str, remedy: str) -> GridCWLError:
    plainly = _in_our_words(error, kind, what, remedy)
    return type(plainly)(for_people(plainly.message), remedy=for_people(plainly.remedy))


def _in_our_words(error: Exception, kind: type[GridCWLError], what: str, remedy: str) -> GridCWLError:
    text = for_patterns(error)
    place = _PLACE.match(text)
    cause = _own_cause(error)
    if cause is not None:  # wrapped by cwltool into texts of its own, of which only the position adds anything
        return ExpressionError(f"{what}: {place[0] if place else ''}{cause.message}", remedy=cause.remedy or remedy)
    if _EVALUATION.search(text):
        reason = _EVALUATION.sub("", " ".join(text.split()))
        if field := _unknown_field(reason):
            return ExpressionError(f"{what}: {field.message}", remedy=field.remedy)
        if "without specifying InlineJavascriptRequirement" in reason:
            reason = reason.partition(" This could be due")[0].replace("..", ".")
            remedy = "If it is JavaScript, add 'InlineJavascriptRequirement: {}' to the requirements."
        return ExpressionError(f"{what}: {reason}", remedy=remedy)
    plainly = explained(text)
    if plainly is None:
        return kind(f"{what}: {without_types(text)}", remedy=remedy)
    if plainly.unsupported and leading_place(plainly.message):  # then "is not valid" would say too much
        return UnsupportedError(plainly.message, remedy=plainly.remedy)
    return (UnsupportedError if plainly.unsupported else kind)(f"{what}: {plainly.message}", remedy=plainly.remedy)


_FILE_FIELDS = (
    *("path", "basename", "nameroot", "nameext", "dirname", "location", "size", "checksum", "contents", "format"),
    *("secondaryFiles", "listing", "class"),
)


def _unknown_field(text: str) -> Explanation | None:
    """A parameter reference to a field that its object lacks; None for all other messages."""
    found = _REFERENCE.search(text)
    if found is None:
        return None
    name = found["key"]
    place = leading_place(text)
    where = f"{place.strip()} " if place else ""
    owner = found["reference"].removesuffix(f".{name}").removesuffix(f"['{name}']")
    if owner == "inputs":
        return Explanation(f"{where}$({found['reference']}): there is no input '{name}'", "")
    close = did_you_mean(name, _FILE_FIELDS)
    remedy = f"{close} A File has the fields {', '.join(_FILE_FIELDS[:-2])}.".lstrip()
    return Explanation(f"{where}$({found['reference']}): {owner} has no field '{name}'", remedy)


_REFERENCE = re.compile(
    r"parameter reference '(?P<reference>[^']+(?:'[^']*'[^']*)*)': .* does not contain key '(?P<key>[^']+)'"
)


def _own_cause(error: BaseException | None) -> ExpressionError | None:
    while error is not None:
        if isinstance(error, ExpressionError):
            return error
        error = error.__cause__ or error.__context__
    return None


class _NoFiles(logging.Filter):
    """Drops salad's warning of an unknown prefix in a file's name with a colon, and in a URL of a store."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def filter(self, record: logging.LogRecord) -> bool:
        """False drops the record."""
        if "$namespaces" not in str(record.msg) or not isinstance(record.args, tuple) or len(record.args) != 2:
            return True
        prefix, name = map(str, record.args)
        if any(prefix in plugin.schemes for plugin in plugins.stores().values()):
            return False
        return not ((self._folder / name).exists() or plugins.store_of_name(name))


@contextmanager
def colons_in_names(folder: Path) -> Iterator[None]:
    """Paths may hold colons: schema-salad takes what is before one for a prefix, and warns.

    Args:
        folder: where relative paths count from.
    """
    quiet = _NoFiles(folder)
    salad = logging.getLogger("salad")
    salad.filters.insert(0, quiet)  # before what makes one text of a message and its arguments
    try:
        yield
    finally:
        salad.removeFilter(quiet)


class _Readable(logging.Filter):
    """The libraries' warnings as people can read them; their tracebacks only where everything is shown."""

    def __init__(self, *, everything: bool) -> None:
        super().__init__()
        self._everything = everything
        self._told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place; False drops it."""
        if self._everything:
            return True
        if record.exc_info:
            return False  # the same error is raised, and reported then
        text = record.getMessage()
        if _OF_OVERRIDES.search(text) or _OF_NAMES.search(text):
            return False
        if schema := _SCHEMA.match(text):
            if schema[1] in self._told:
                return False  # each file of a document names the same ones
            self._told.add(schema[1])
        plain = for_patterns(text)
        hint, prefixed = _HINT.search(plain), _UNDECLARED.search(plain)
        named = hint[2] if hint else prefixed[3] if prefixed else ""
        if kind_of(named) or is_processes(named):
            return False  # cwltool does not know it, but we do
        record.msg, record.args = for_people(_readable(text)), ()
        return True


def _readable(text: str) -> str:
    text = for_patterns(text)
    schema = _SCHEMA.match(text)
    if schema:
        return f"The schema {schema[1]} could not be fetched; file formats are compared without it."
    prefixed = _UNDECLARED.search(text)
    if prefixed:
        add = f"Add it to the document: '$namespaces: {{{prefixed[2]}: URL}}'."
        return f"{prefixed[1]} {prefixed[3]} is not known and is ignored, as its prefix is not declared. {add}"
    hint = _HINT.search(text)
    if hint:
        name = bare_name(hint[2])
        what = "class" if "://" in name else "hint"  # it may be metadata: schema.org's Person
        return f"{hint[1]} the {what} {name} is not known and is ignored. {known_requirement(name)}".rstrip()
    return text


class _Forwarding(logging.Handler):
    """Hands records to gridcwl's own logger, for the program that uses gridcwl to handle."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over one record."""
        logger = logging.getLogger("gridcwl.cwl")
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


def adopt_logging() -> None:
    """Let the libraries' loggers write to gridcwl's own, unless :func:`route_logging` has set the handler."""
    if not any(isinstance(one, _Readable) for one in logging.getLogger("cwltool").filters):
        route_logging(_Forwarding(), logging.WARNING)


def route_logging(handler: logging.Handler, level: int) -> None:
    """Let the libraries' loggers write through our handler, at this level.

    cwltool and cwl_utils put handlers of their own on their loggers when they are imported; those go.
    """
    import cwl_utils.loghandler  # noqa: F401  it puts its handler there, later than now otherwise

    readable = _Readable(everything=level <= logging.DEBUG)
    for name in ("cwltool", "salad", "cwl_utils"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.filters[:] = [readable]
        logger.setLevel(max(level, logging.INFO) if name == "salad" else level)  # its debug is megabytes of vocabulary
        logger.propagate = False
    for name in ("rdflib.term", "rdflib"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [logging.NullHandler()]
        logger.propagate = False
