"""The page on conformance is made from what was run, and agrees with the reasons that are written down."""

from __future__ import annotations

import re
from typing import Any

from . import table
from .cases import expected_failures

PAGE = table.PAGE.read_text("utf-8")


def result(version: str, way: str, **passed: bool) -> dict[str, Any]:
    cases = [{"id": name, "required": True, "passed": ok} for name, ok in passed.items()]
    return {"version": version, "way": way, "gridcwl": "1", "date": "2026-01-01", "cases": cases}


def test_a_row_counts_the_cases_and_a_failed_one_is_listed_with_its_reason() -> None:
    reasons = expected_failures("no-container")
    failing = next(iter(reasons))
    text = table.page([result("v1.2", "no-container", **{failing: False, "other": True})])
    assert "| v1.2 | no container | 1 of 2 | 1 of 2 | 2026-01-01 |" in text
    assert f"`{failing}` | {reasons[failing]} |" in text


def test_a_badge_reports_what_was_run_and_how_much_of_it_passed() -> None:
    made = table.badge(result("v1.1", "docker", a=True, b=True, c=False))
    assert "CWL v1.1 docker: 66.6 %" in made
    assert "#c62828" in made


def test_what_is_unexpected_is_a_failure_without_a_reason_and_a_reason_of_what_passes() -> None:
    expected = next(iter(expected_failures("no-container")))
    verdicts = [table.Verdict("new", True, False, "exit code 1", 0.1), table.Verdict(expected, True, True, "", 0.1)]
    found = table.unexpected(verdicts, "v1.2", "no-container")
    assert found == ["FAILED new: exit code 1", f"{expected} passes: remove it from expected.yaml"]


def test_every_failure_on_the_page_has_a_reason_and_every_badge_is_there() -> None:
    assert "not understood yet" not in PAGE
    badges = re.findall(r"\(conformance/(.+?\.svg)\)", PAGE)
    assert badges
    assert all((table.BADGES / name).is_file() for name in badges)
