"""Forms of requests, with limits on what is kept in memory: files go to disk, and fields together have a limit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from gridcwl.service.problems import BadRequest, TooLarge

MOST_FIELDS_BYTES = 64 << 20
"""Of all fields of a form that are no files, with the headers of all parts."""
_MOST_HEADER_BYTES = 64 << 10
"""Of the headers of one part."""


class _Parser(MultiPartParser):
    """Starlette's, which limits each field but not all of them, and no headers."""

    spool_max_size = 64 << 10

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._kept = 0
        self._headers = 0
        self._is_file = False

    def on_part_begin(self) -> None:
        """A part begins."""
        self._headers = 0
        super().on_part_begin()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        """More of a header's name."""
        self._keep_header(end - start)
        super().on_header_field(data, start, end)

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        """More of a header's value."""
        self._keep_header(end - start)
        super().on_header_value(data, start, end)

    def on_headers_finished(self) -> None:
        """It is known whether the part is a file."""
        files = self._current_files
        super().on_headers_finished()
        self._is_file = self._current_files > files

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """More of a part."""
        if not self._is_file:
            self._keep(end - start)
        super().on_part_data(data, start, end)

    def _keep_header(self, size: int) -> None:
        self._headers += size
        if self._headers > _MOST_HEADER_BYTES:
            raise BadRequest(f"A part of the form has more than {_MOST_HEADER_BYTES >> 10} KiB of headers")
        self._keep(size)

    def _keep(self, size: int) -> None:
        self._kept += size
        if self._kept > MOST_FIELDS_BYTES:
            raise TooLarge(f"The fields of the form have more than {MOST_FIELDS_BYTES >> 20} MiB; attach files")


async def read_form(request: Request, *, max_files: int, max_fields: int, max_part_size: int) -> FormData:
    """The form in a request's body; its caller closes it.

    Raises:
        Refused: it is malformed, or larger than is accepted.
    """
    limits = {"max_files": max_files, "max_fields": max_fields, "max_part_size": max_part_size}
    if not _is_multipart(request):
        return await request.form(**limits)  # type: ignore[arg-type]
    parser = _Parser(request.headers, request.stream(), **limits)
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise BadRequest(error.message) from None


@asynccontextmanager
async def form_of(request: Request, **limits: int) -> AsyncIterator[FormData]:
    """The form in a request's body, as :func:`read_form` reads it, closed at the end."""
    form = await read_form(request, **limits)
    try:
        yield form
    finally:
        await form.close()


def _is_multipart(request: Request) -> bool:
    kind: str = request.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == "multipart/form-data"
