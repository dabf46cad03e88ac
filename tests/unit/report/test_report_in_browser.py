"""The report in a real browser, at the width of a phone, a tablet and a desk."""

from __future__ import annotations

import pytest
from browser import measured
from report_runs import recorded, usage

from gridcwl.model import Outcome
from gridcwl.runs.report import report_of

pytestmark = pytest.mark.browser

LONG = "a_step_with_a_rather_long_name_that_somebody_chose"
WIDTHS = (390, 820, 1440)


def test_a_report_can_be_read_at_any_width(tmp_path):
    outline = [{"step": "make"}, *({"step": f"{LONG}/{number}", "after": ["make"]} for number in range(9))]
    file = {"class": "File", "location": f"rucio://cta/{LONG * 4}", "size": 10, "checksum": "sha1$" + "a" * 40}
    with recorded(tmp_path, "failed", graph=outline, inputs={LONG: file, "text": "x" * 400}, document=LONG * 4) as run:
        for number in range(40):
            step = outline[number % 10]["step"]
            run.end(run.add(step, ram_mib=4096), usage(at=number * 10, site=f"LCG.SITE{number % 3}.org"))
        failed = run.add("make")
        run.end(failed, None, Outcome.PERMANENT_FAILURE, reason="word " * 50 + "y" * 300, stderr_tail="z" * 500)
    page = report_of(run.folder).save(tmp_path / "report.html")

    found = measured(page, WIDTHS, tmp_path / "profile")

    assert list(found) == list(WIDTHS)
    for about in found.values():
        assert not about["wide"], about["outside"]
        assert about["outside"] == []
        assert about["pictures"] == 2
        assert {"summary", "suggestions", "failures", "workflow", "timeline", "steps", "resources"} <= set(
            about["sections"]
        )
        assert "z" * 500 in about["text"]
