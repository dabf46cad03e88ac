"""Near misses: which known words somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

_CUTOFF = 0.7


def near(word: str, words: Iterable[str], *, most: int = 3) -> list[str]:
    """The known words that are like a mistyped one, the likeliest first.

    Case and the characters ``-``, ``_``, ``.`` and blanks do not count: ``out-dir`` is like ``outdir``.

    Args:
        word: as the user typed it.
        words: those there are.
        most: how many to name at most.
    """
    by_form: dict[str, list[str]] = {}
    for known in words:
        by_form.setdefault(_form(known), []).append(known)
    wanted = _form(word)
    close = difflib.get_close_matches(wanted, by_form, n=most, cutoff=_CUTOFF) if wanted else []
    if len(wanted) > 2:
        close += [form for form in sorted(by_form) if form.startswith(wanted) and form not in close]
    return [known for form in close for known in by_form[form]][:most]


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """``Did you mean X?``, or nothing."""
    close = near(word, words)
    return f"Did you mean {' or '.join(close)}?" if close else ""


def near_files(name: str) -> str:
    """``Did you mean X?`` for a file that is not there, with names of its folder; or nothing."""
    path = Path(name)
    try:
        there = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return ""
    close = [str(path.with_name(entry)) for entry in near(path.name, there)] if path.name else []
    return f"Did you mean {' or '.join(close)}?" if close else ""


def _form(word: str) -> str:
    return "".join(character for character in word.lower() if character not in "-_. ")
