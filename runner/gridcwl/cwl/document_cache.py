"""Document cache: documents that were read and found valid, so that the second run need not read them again.

A cached document is cwltool's process, ready to run. It is used only if every file that was read for it holds the same
text, every file that was looked for still exists or is still missing, and it is loaded in the same way by the same
versions. Invalid documents are never cached, so that their mistakes are reported with their lines; nor are documents of
which a part came from the network.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cwltool.process import SCHEMA_CACHE
from schema_salad.avro.schema import Names
from schema_salad.exceptions import ValidationException
from schema_salad.ref_resolver import Loader, uri_file_path

from gridcwl.cwl import pickles
from gridcwl.cwl.context import EvaluationOptions
from gridcwl.cwl.expressions import Lack
from gridcwl.cwl.patches.loader import DocumentLoader
from gridcwl.cwl.reading import BoundedFetcher, file_text

if TYPE_CHECKING:
    from cwltool.process import Process

_LOGGERS = ("cwltool", "salad", "cwl_utils")
_MOST = 500
"""How many documents are kept."""


@dataclass(slots=True)
class Reading:
    """The files that were read and looked for while a document was loaded, and the warnings."""

    texts: dict[str, str] = field(default_factory=dict)
    """Digests by URL."""
    exists: dict[str, bool] = field(default_factory=dict)
    warnings: list[tuple[str, int, str]] = field(default_factory=list)
    """Logger, level, message."""
    lacks: tuple[Lack, ...] = ()
    """What the document uses without declaring it."""
    schemas: set[str] = field(default_factory=set)
    """What it names as ``$schemas`` elsewhere; they hardly ever change, and may be missing."""
    ontologies: bool = False
    """It may name ``$schemas``."""

    @property
    def files(self) -> tuple[str, ...]:
        """The local files, as paths."""
        return tuple(sorted(uri_file_path(url) for url in self.texts if url.startswith("file://")))

    @property
    def local(self) -> bool:
        """Nothing came from elsewhere, where it may change at any time."""
        return all(url.startswith("file://") for url in (*self.texts, *self.exists))

    def still_true(self) -> bool:
        """Whether the files are as they were."""
        try:
            return all(_digest(file_text(url)) == digest for url, digest in self.texts.items()) and all(
                Path(uri_file_path(url)).exists() == there for url, there in self.exists.items()
            )
        except (OSError, ValueError, ValidationException):
            return False

    def repeat(self) -> None:
        """Repeat the warnings."""
        for name, level, message in self.warnings:
            logging.getLogger(name).log(level, "%s", message)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


_SCHEMAS = re.compile(r"\$schemas[\"']?\s*:\s*(\[[^\]]*\]|[^\n]*(?:\n\s*(?:[-#][^\n]*)?(?=\n|$))*)")
_WEB = re.compile(r"(?:https?|ftp)://[^\s'\",\]]+")
_UNREACHABLE: set[str] = set()
"""Schemas elsewhere that could not be fetched, and hosts that do not answer: each is asked once a run."""


def _is_unreachable(url: str) -> bool:
    return url in _UNREACHABLE or urlsplit(url).netloc in _UNREACHABLE


def _note_unreachable(url: str, reason: str) -> None:
    _UNREACHABLE.add(url)
    if "Max retries" in reason or "timed out" in reason:  # of such a host nothing else is asked for
        _UNREACHABLE.add(urlsplit(url).netloc)


def fetcher(reading: Reading) -> type[BoundedFetcher]:
    """The class of a fetcher that notes what it is asked for."""

    class Noting(BoundedFetcher):
        """schema-salad's own, with notes."""

        def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:
            known = url in self.cache
            if url.startswith("file://") and urlsplit(url).netloc.lower() not in ("", "localhost"):
                raise ValidationException(f"{url} is a file of another machine")
            schema = url in reading.schemas
            if schema and _is_unreachable(url):
                raise ValidationException(f"{url} could not be fetched")
            try:
                text: str = super().fetch_text(url, content_types)
            except Exception as error:
                if schema:
                    _note_unreachable(url, str(error))
                raise
            if not (known or schema):  # what is known are CWL's own schemas
                reading.texts[url.partition("#")[0]] = _digest(text)
                reading.ontologies = reading.ontologies or "$schemas" in text
                reading.schemas.update(_WEB.findall("".join(_SCHEMAS.findall(text))))
            return text

        def check_exists(self, url: str) -> bool:
            known = url in self.cache
            if url in reading.schemas:
                return True  # what cannot be fetched is reported then
            there: bool = super().check_exists(url)
            if not known:
                reading.exists[url.partition("#")[0]] = there
            return there

    return Noting


@contextmanager
def recording_warnings(reading: Reading) -> Iterator[None]:
    """Note the libraries' warnings."""

    mine = threading.get_ident()

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread != mine:
                return  # of another run in this process
            reading.warnings.append((record.name, record.levelno, record.getMessage()))

    recorder = Recorder(logging.WARNING)
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(recorder)
    try:
        yield
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(recorder)


def cache_path(uri: str, options: EvaluationOptions, changes: Sequence[Any]) -> Path:
    """Where a document is kept that is loaded like this; ``changes`` are overrides and requirements."""
    shown = [logging.getLogger(name).getEffectiveLevel() <= logging.WARNING for name in _LOGGERS]
    written = json.dumps([changes, shown], default=str, sort_keys=True)
    return pickles.cache_file("documents", "document", uri, repr(replace(options, only_check=False)), written)


def cached(path: Path) -> tuple[Process, Reading] | None:
    """The document that is kept there, if it still is what its files say; warns as it did when it was read."""
    kept = pickles.read_pickle(path)
    if not isinstance(kept, tuple) or len(kept) != 2:
        return None
    reading, pickled = kept
    if not isinstance(reading, Reading) or not reading.still_true():
        return None
    process: Process | None = pickles.loads(pickled)
    if process is not None:
        reading.repeat()
    return (process, reading) if process is not None else None


def store(path: Path, process: Process, reading: Reading) -> None:
    """Keep a document for :func:`cached`: all but what cwltool needs only to read it."""
    if not reading.local:
        return
    schemas = {id(known[1]) for known in SCHEMA_CACHE.values()}

    left_out: dict[type, Callable[[Any], bool]] = {
        Loader: lambda _loader: True,
        DocumentLoader: lambda _loader: True,
        Names: lambda names: id(names) in schemas,
        type(process.formatgraph): lambda _graph: not reading.ontologies,
    }
    pickled = pickles.dumps(process, left_out)
    if pickled is not None:
        pickles.write_pickle(path, (reading, pickled))
        pickles.clear_out(path.parent, _MOST)
