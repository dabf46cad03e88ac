"""What cwltool and schema-salad raise, as errors of our own tree, and their log as ours."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from cwltool.errors import UnsupportedRequirement, WorkflowException
from ruamel.yaml.error import MarkedYAMLError
from schema_salad.exceptions import SchemaSaladException

from gridcwl.errors import ExpressionError, GridCWLError, UnsupportedError

_JAVASCRIPT = re.compile(r"(Expression evaluation error|evaluation error|SyntaxError|ReferenceError|TypeError):", re.M)
_FILE_URI = re.compile(r"file://(?=/)")


def tidy(error: BaseException | str) -> str:
    """The message without repeated blank lines, with paths instead of ``file://`` URLs."""
    lines = [line.rstrip() for line in _FILE_URI.sub("", str(error)).splitlines()]
    return "\n".join(line for line in lines if line) or type(error).__name__


@contextmanager
def problems(kind: type[GridCWLError], what: str, *, remedy: str = "") -> Iterator[None]:
    """Turn what the libraries raise inside into ``kind`` with a message that begins with ``what``.

    Raises:
        UnsupportedError: the document asks for what cwltool, and so gridcwl, does not support.
        ExpressionError: JavaScript failed or took too long.
        GridCWLError: of the given kind, for everything else that is the document's or the input's fault.
    """
    try:
        yield
    except GridCWLError:
        raise
    except UnsupportedRequirement as error:
        raise UnsupportedError(f"{what}: {tidy(error)}") from error
    except (SchemaSaladException, WorkflowException) as error:
        message = tidy(error)
        if _JAVASCRIPT.search(message):
            raise ExpressionError(f"{what}: {message}", remedy=remedy) from error
        raise kind(f"{what}: {message}", remedy=remedy) from error
    except MarkedYAMLError as error:
        raise kind(f"{what}: it is not readable YAML: {tidy(error)}", remedy=remedy) from error
    except (OSError, UnicodeDecodeError, ValueError, TypeError, KeyError, AttributeError) as error:
        # cwltool meets documents of the wrong shape with these; the chained error keeps the trace for --debug.
        logging.getLogger("gridcwl.cwl").debug("cwltool stumbled", exc_info=True)
        raise kind(f"{what}: {type(error).__name__}: {tidy(error)}", remedy=remedy) from error


def route_logging(handler: logging.Handler, level: int) -> None:
    """Let cwltool's and schema-salad's loggers write through our handler, at this level.

    cwltool puts a handler of its own on its logger when it is imported; that one goes.
    """
    for name in ("cwltool", "salad", "rdflib.term", "rdflib"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler] if name in ("cwltool", "salad") else [logging.NullHandler()]
        logger.setLevel(max(level, logging.INFO) if name == "salad" else level)  # its debug is megabytes of vocabulary
        logger.propagate = False
