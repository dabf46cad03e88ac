"""Runs, files and outputs as notebooks show them: with contents, bounded, and with nothing of them taken for markup."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits
from documents import ECHO, Desk, new_desk, shell, step, workflow

import gridcwl
from gridcwl import Directory, File, Outputs

EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>\x1b[31m\u202e'


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: set[str] = set()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.add(name)
            if name in ("src", "href", "xlink:href"):
                self.sources.append(str(value))


def harmless(html: str) -> str:
    """The HTML, if it has no script, no handler, and nothing that is fetched."""
    found = _Tags()
    found.feed(html)
    assert not found.handlers
    assert not found.tags & {"script", "iframe", "object", "embed", "link", "base", "form", "meta"}
    assert all(source.startswith("data:image/") for source in found.sources)
    assert "\x1b" not in html
    assert "\u202e" not in html
    return html


def png() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def shown(path: Path) -> str:
    return harmless(File(path)._repr_html_())


def test_an_image_is_shown_and_what_is_none_or_too_large_is_not(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "b.png").write_text("<script>")
    (tmp_path / "c.png").write_bytes(png() + b"\0" * (5 << 20))
    assert 'src="data:image/png;base64,' in shown(tmp_path / "a.png")
    assert "It is not a PNG image" in shown(tmp_path / "b.png")
    assert "It is larger than 4.19 MB" in shown(tmp_path / "c.png")
    assert len(shown(tmp_path / "c.png")) < 20_000


def test_a_table_and_a_text_are_shown_in_part_and_as_text(tmp_path: Path):
    (tmp_path / "a.csv").write_text("n,name\n" + "".join(f"{n},{EVIL}\n" for n in range(5000)))
    (tmp_path / "a.txt").write_text(f"{EVIL}\n" * 100_000)
    for name in ("a.csv", "a.txt"):
        html = shown(tmp_path / name)
        assert "&lt;script&gt;" in html
        assert len(html) < 150_000
    assert "<th>name</th>" in shown(tmp_path / "a.csv")


def test_fits_shows_its_headers_and_first_image_and_hdf5_its_tree(tmp_path: Path):
    header = fits.Header({"OBJECT": "<script>alert(1)</script>"})
    fits.PrimaryHDU(np.arange(64.0).reshape(8, 8), header).writeto(tmp_path / "a.fits")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["events/<b>energy"] = np.arange(3.0)
        file["events"].attrs["unit"] = "<i>TeV"
    html = shown(tmp_path / "a.fits")
    assert "OBJECT  = &#x27;&lt;script&gt;" in html
    assert "data:image/png" in html
    html = shown(tmp_path / "a.h5")
    assert "&lt;b&gt;energy" in html
    assert "&lt;i&gt;TeV" in html


def test_hostile_names_of_files_folders_and_outputs_are_text(tmp_path: Path):
    name = EVIL.replace("/", "|")
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.txt").write_text("x")
    (tmp_path / name / "link.txt").symlink_to("/etc/passwd")
    html = harmless(Directory(tmp_path / name)._repr_html_())
    assert "link.txt" in html
    html = harmless(
        Outputs({EVIL: [File(tmp_path / name / f"{name}.txt")], "text": EVIL, "n": 3, "none": None})._repr_html_()
    )
    assert "&lt;script&gt;" in html
    harmless(File(f"rucio://scope/{name}")._repr_html_())
    harmless(File(contents=EVIL, basename=name)._repr_html_())


def test_of_many_outputs_the_first_are_shown_and_the_rest_is_counted(tmp_path: Path):
    (tmp_path / "a.txt").write_text("hello")
    html = harmless(Outputs({"many": [File(tmp_path / "a.txt")] * 5000})._repr_html_())
    assert "and 4,988 more" in html
    assert len(html) < 30_000


def test_a_file_that_is_gone_or_no_file_is_named_and_nothing_is_read(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.txt")
    assert "not there any more" in shown(tmp_path / "pipe.txt")
    assert "not there any more" in shown(tmp_path / "gone.txt")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("GRIDCWL_ENGINE", "none")
    return new_desk(tmp_path, monkeypatch)


def ended(desk: Desk, document: Any, inputs: Any) -> gridcwl.BlockingRun:
    desk.write("w.cwl", document)
    run = gridcwl.submit("w.cwl", inputs, outdir="outputs", on_error="continue")
    with contextlib.suppress(gridcwl.RunFailed):
        run.result()
    return run


def test_a_run_shows_its_graph_steps_and_failures_as_html_and_as_text(desk: Desk):
    broken = shell(f"printf '%s' '{EVIL}' >&2; exit 3", outputs={"out": "stdout"})
    document = workflow(
        {"words": "string[]"}, {"said": {"type": "File[]", "outputSource": "say/said"}},
        say=step(ECHO, "said", scatter="text", text="words"),
        broken=step(broken, "out"),
    )  # fmt: skip
    run = ended(desk, document, {"words": ["a", "b"]})
    bundle = run._repr_mimebundle_()
    html, text = harmless(bundle["text/html"]), bundle["text/plain"]
    assert 'class="graph"' in html
    assert "1 failed" in html
    assert f"gridcwl shell {run.id}" in html
    assert "&lt;script&gt;" in html
    assert html == run._repr_html_()
    assert re.search(r"say +2 of 2", text)
    assert f'gridcwl.resume("{run.id}")' in text
    assert "\x1b" not in text


def test_an_output_object_is_a_dict_that_shows_itself(desk: Desk):
    run = ended(desk, ECHO, {"text": "hello"})
    assert isinstance(run.outputs, dict)
    assert "hello" in harmless(run.outputs._repr_html_())
    again = gridcwl.last()
    assert again.id == run.id
    assert again.outputs == run.outputs
    assert again._repr_mimebundle_()["text/plain"].startswith(f"Run {run.id}: success, 1 of 1 job done")


def test_last_and_open_run_name_the_runs_there_are(desk: Desk):
    with pytest.raises(gridcwl.ConfigError, match="There is no run last"):
        gridcwl.last(desk.folder / "empty")
    run = ended(desk, ECHO, {"text": "hello"})
    assert gridcwl.open_run(run.id[:-2]).id == run.id
