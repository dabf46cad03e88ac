"""Text of tools and documents in HTML: nothing of it is markup, and nothing of it is invisible."""

from __future__ import annotations

from html import escape


def escaped(text: str) -> str:
    """HTML that shows the text; control characters are shown, not obeyed."""
    return escape("".join(sign if sign.isprintable() or sign in "\n\t" else _code(sign) for sign in text))


def _code(sign: str) -> str:
    number = ord(sign)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
