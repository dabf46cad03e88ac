"""Log records on stderr."""

from __future__ import annotations

import logging
import sys

from gridcwl.cli.display import StderrHandler

_LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}
_NAMES = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


class _Formatter(logging.Formatter):
    """Levels have Python's names: DIRAC renames them for the whole process when it is imported."""

    def format(self, record: logging.LogRecord) -> str:
        record.levelname = _NAMES.get(record.levelno, record.levelname)
        return super().format(record)


def _json_handler() -> logging.Handler | None:
    if not hasattr(sys.stderr, "record"):  # what only --log-format json needs is not loaded
        return None
    from gridcwl.cli.json_log import JsonHandler

    return JsonHandler()


def set_up_logging(loudness: int, *, timestamps: bool = False) -> None:
    """Log records go to stderr; the louder, the more of them."""
    handler: logging.Handler = _json_handler() or StderrHandler()
    handler.setFormatter(_Formatter(f"{'%(asctime)s ' if timestamps else ''}%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gridcwl").setLevel(_LEVELS[loudness])
    from gridcwl.cwl.problems import route_logging

    route_logging(handler, _LEVELS[loudness])
