"""What is shown to people: control characters are escaped, whoever wrote them.

A tool's words, a file's name, a step's name or a server's message may hold sequences that change a terminal's title,
its clipboard, or what was written before. Everything that gridcwl prints passes :class:`Escaping`; what a live display
draws is escaped before it is drawn.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gridcwl.worker.failure import crossed_out

# C0 without tab and newline, DEL, C1, lone surrogates; what changes the direction of writing; other ends of lines
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udc7f\udd00-\udfff]")
_CHUNK = 1 << 16


def escaped(text: str) -> str:
    """The text with control characters as ``\\x1b``, and URLs without passwords; tabs and ends of lines stay."""
    text = crossed_out(text)
    if _CONTROL.search(text) is None:
        return text
    return _CONTROL.sub(_shown, text.replace("\r\n", "\n"))


def escaped_json(text: str) -> str:
    """JSON that means the same, without the control characters that JSON itself lets pass."""
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class Escaping:
    """A text stream that escapes control characters; all else is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self.raw_stream = stream

    def write(self, text: str) -> int:
        """Write to the stream."""
        self.raw_stream.write(escaped(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw_stream, name)


def raw(stream: Any) -> Any:
    """The stream itself, for what draws with control characters of its own and escapes what it draws."""
    return getattr(stream, "raw_stream", stream)


@contextmanager
def escaping() -> Iterator[None]:
    """Within this, stdout and stderr escape control characters."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Escaping(raw(sys.stdout)), Escaping(raw(sys.stderr))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def print_file(path: Path, start: int = 0) -> int:
    """A file of whatever bytes on stdout; those that are not UTF-8 as ``\\xff``.

    Args:
        path: of the file.
        start: the byte to begin at.

    Returns:
        The byte after the last one that was printed.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
    with path.open("rb") as file:
        file.seek(start)
        while data := file.read(_CHUNK):
            if data.endswith(b"\r"):
                data += file.read(1)
            sys.stdout.write(decoder.decode(data))
        sys.stdout.write(decoder.decode(b"", final=True))
        end = file.tell()
    sys.stdout.flush()
    return end
