"""Pages in a real browser: Debian's chromium without a window, and without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import Any

import pytest

_MEASURE = """\
const found = {};
for (const frame of document.querySelectorAll('iframe')) {
  const page = frame.contentDocument, root = page.documentElement;
  const tooWide = [...page.querySelectorAll('main *')].filter(
    e => !e.closest('.scroll') && !e.closest('pre') && e.getBoundingClientRect().right > frame.clientWidth + 1);
  found[frame.id] = {
    wide: root.scrollWidth > frame.clientWidth, outside: tooWide.map(e => e.tagName + '.' + e.className),
    sections: [...page.querySelectorAll('section')].filter(e => e.getBoundingClientRect().height > 20).map(e => e.id),
    pictures: [...page.querySelectorAll('svg')].map(e => e.getBoundingClientRect()).filter(r => r.width > 50).length,
    text: page.body.innerText,
  };
}
document.body.innerHTML = '<pre id="found"></pre>';
document.getElementById('found').textContent = JSON.stringify(found);
"""


def chromium() -> str:
    """The browser; the test is skipped if it is missing."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("chromium is not installed")
    return found


def measured(page: Path, widths: Sequence[int], profile: Path) -> dict[int, dict[str, Any]]:
    """What a page is like at each width, as ``_MEASURE`` has it."""
    frames = "".join(
        f'<iframe id="{width}" src="{page.name}" width="{width}" height="900"></iframe>' for width in widths
    )
    outer = page.with_name("frames.html")
    outer.write_text(f"<body>{frames}<script>addEventListener('load', () => {{ {_MEASURE} }});</script></body>")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom")
    rules = ("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", "--virtual-time-budget=10000")
    printed = subprocess.run(
        [chromium(), *options, *rules, outer.as_uri()], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    found = re.search(r'<pre id="found">(.*?)</pre>', printed, re.DOTALL)
    assert found, printed[:2000]
    return {int(width): about for width, about in json.loads(unescape(found.group(1))).items()}
