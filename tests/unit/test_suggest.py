"""Near misses of words."""

from __future__ import annotations

import pytest

from gridcwl.suggest import did_you_mean, near


@pytest.mark.parametrize(
    ("word", "words", "meant"),
    [
        ("--out-dir", ["--outdir", "--basedir"], ["--outdir"]),
        ("statuss", ["runs", "status", "logs"], ["status"]),
        ("nmae", ["name", "number"], ["name"]),
        ("a_b", ["a-b", "c"], ["a-b"]),
        ("NAME", ["name"], ["name"]),
        ("--retr", ["--retries", "--retry-all", "--site"], ["--retries", "--retry-all"]),
        ("zzz", ["name"], []),
        ("", ["name"], []),
    ],
)
def test_near_words_are_found(word: str, words: list[str], meant: list[str]) -> None:
    assert near(word, words) == meant


def test_a_suggestion_is_a_question_or_nothing() -> None:
    assert did_you_mean("statuss", ["status"]) == "Did you mean status?"
    assert did_you_mean("zzz", ["status"]) == ""
