"""Submitting through the page: uploads, the form that is made from a document's inputs, and running again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from documents import expression
from wes import Wes

from gridcwl.model import confinement

EVIL = "<img src=x onerror=alert(1)>"
ALL = {
    "number": {"type": "int", "label": "How many", "doc": ["A number", f"of {EVIL}"]},
    "ratio": {"type": "float", "default": 0.5},
    "text": "string?",
    "kind": {"type": {"type": "enum", "symbols": ["red", "green"]}, "default": "red"},
    "flag": "boolean",
    "values": "int[]?",
    "file": "File",
    "more": "File[]?",
    "pair": {"type": ["null", {"type": "record", "name": "p", "fields": {"a": "int", "b": "string?"}}]},
    "any": "Any",
    "folder": "Directory?",
    "colors": {"type": {"type": "array", "items": {"type": "enum", "symbols": ["x", "y"]}}, "default": ["x"]},
    "union": ["int", "string"],
}
DOCUMENT = expression("${ return {all: JSON.stringify(inputs)}; }", ALL, {"all": "string"}, label=f"All {EVIL}")
TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})


class Page:
    """A page with its forms, as a browser without JavaScript has it."""

    def __init__(self, wes: Wes) -> None:
        self._http = wes.http
        self._http.get("/")
        self._token = {"csrf": wes.http.cookies["gridcwl_csrf"]}

    def post(self, path: str, fields: Mapping[str, Any] | None = None, files: Sequence[Any] = ()) -> Any:
        parts = [(name, (None, text)) for name, text in (self._token | dict(fields or {})).items()]
        return self._http.post(path, files=[*parts, *files], follow_redirects=False)

    def upload(self, *files: tuple[str, Any]) -> str:
        """Upload documents; the path of the next page."""
        answer = self.post("/submit", files=[("files", (name, _bytes(data))) for name, data in files])
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def get(self, path: str) -> str:
        answer = self._http.get(path)
        assert answer.status_code == 200, answer.text
        return str(answer.text)


def _bytes(data: Any) -> bytes:
    return data if isinstance(data, bytes) else json.dumps(data).encode()


def errors(page: str) -> list[str]:
    return [unescape(text) for text in re.findall(r'<p class="error"[^>]*>([^<]*)</p>', page)]


@pytest.fixture
def page(wes: Wes) -> Page:
    return Page(wes)


def test_a_form_has_a_field_for_each_type_with_its_default_and_its_help(page: Page):
    form = page.get(page.upload(("main.cwl", DOCUMENT)))
    assert "How many" in form
    assert "A number\nof &lt;img src=x" in form
    assert 'placeholder="default: 0.5"' in form
    assert '<option value="">default: red</option>' in form
    assert re.search(r'<input id="f\d+-upload" type="file" name="input:file:upload"', form)
    assert re.search(r'<input [^>]*name="input:folder:upload" multiple webkitdirectory', form)
    assert 'name="input:pair.a"' in form
    assert form.count('type="checkbox" name="input:colors"') == 2
    assert "<img src=x" not in form
    assert list(dict.fromkeys(re.findall(r'name="input:(\w+)', form))) == list(ALL)  # in the document's order
    for control in re.findall(r'<(?:input|select|textarea) id="([^"]*)"', form):
        assert f'<label for="{control}">' in form, control


def test_errors_are_beside_their_fields_and_nothing_has_to_be_written_or_chosen_again(wes: Wes, page: Page):
    form = page.upload(("main.cwl", DOCUMENT))
    fields = {"input:number": "x", "input:ratio": "nan", "input:values": "1\nb", "input:text": EVIL}
    fields |= {"input:pair.b": "only b", "input:more": "nothing.txt"}
    files = [("input:file:upload", ("in put.txt", b"hello")), ("input:folder:upload", ("d/x/a.txt", b"1"))]
    answer = page.post(form, fields, [*files, ("input:folder:upload", ("d/b.txt", b"2"))])
    assert answer.status_code == 422
    assert sorted(errors(answer.text)) == [
        "Give a value.",
        "Give a value.",
        "Give a value: the other fields of the record have one.",
        "The File is 'nothing.txt', which is not among the attachments.",
        "b is not a whole number.",
        "nan is not a finite number.",
        "x is not a whole number.",
    ]
    assert answer.text.count('aria-invalid="true"') >= 7
    assert f'value="{EVIL}"'.replace("<", "&lt;").replace(">", "&gt;") in answer.text
    assert "<img src=x" not in answer.text
    kept = dict(re.findall(r'name="(input:(?:file|folder))" value="([^"]*)"', answer.text))
    correct = fields | kept | {"input:number": "3", "input:ratio": "1e-3", "input:values": "1\r\n2", "input:more": ""}
    correct |= {"input:pair.a": "4", "input:flag": "true", "input:any": "{a: [1]}", "input:union": "5", "name": "first"}
    answer = page.post(form, correct)
    assert answer.status_code == 303, errors(answer.text)
    log = wes.ended(answer.headers["location"].removeprefix("/runs/"))
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    given = json.loads(log["outputs"]["all"])
    assert (given["number"], given["ratio"], given["values"], given["text"]) == (3, 0.001, [1, 2], EVIL)
    assert (given["pair"], given["flag"], given["any"], given["union"]) == (
        {"a": 4, "b": "only b"},
        True,
        {"a": [1]},
        5,
    )
    assert (given["kind"], given["colors"], given["more"]) == ("red", ["x"], None)
    assert (given["file"]["basename"], given["folder"]["basename"]) == ("in put.txt", "d")
    assert log["request"]["tags"] == {"name": "first"}


def test_a_run_is_submitted_again_with_what_was_changed(wes: Wes, page: Page):
    read = expression(
        "${ return {all: inputs.file.basename + inputs.number}; }", {"file": "File", "number": "int"}, {"all": "string"}
    )
    first = wes.run(
        read,
        {"file": {"class": "File", "location": "a%20b.txt"}, "number": 1},
        files={"a b.txt": b"x"},
        tags='{"name": "one", "night": "7"}',
        workflow_engine_parameters='{"--max-jobs": "3", "--retries": "2"}',
    )["run_id"]
    form = page.get(f"/runs/{first}/again")
    fields = {name: unescape(value) for name, value in re.findall(r'name="((?:input:)?\w+)" value="([^"]*)"', form)}
    assert (fields["input:file"], fields["input:number"], fields["name"]) == ("a b.txt", "1", "one")
    assert "<option selected>2</option>" in form
    assert page.post(f"/runs/{first}/again", fields | {"input:number": "one"}).status_code == 422
    answer = page.post(f"/runs/{first}/again", fields | {"input:number": "2", "retries": "0"})
    log = wes.ended(answer.headers["location"].removeprefix("/runs/"))
    assert log["outputs"] == {"all": "a b.txt2"}
    assert log["request"]["tags"] == {"name": "one", "night": "7"}
    assert log["request"]["workflow_engine_parameters"] == {"--max-jobs": "3", "--retries": "0"}


def test_of_several_documents_the_one_that_the_others_belong_to_comes_first(wes: Wes, page: Page):
    flow = {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "inputs": {"number": "int"},
        "outputs": {"twice": {"type": "int", "outputSource": "go/twice"}},
        "steps": {"go": {"run": "a.cwl", "in": {"number": "number"}, "out": ["twice"]}},
    }
    draft = page.upload(("a.cwl", TWICE), ("z.cwl", flow), ("readme.txt", b"no document"))
    choice = page.get(draft)
    assert re.findall(r'type="radio" name="document" value="([^"]*)"', choice) == ["z.cwl", "a.cwl"]
    assert 'name="input:number"' in page.get(f"{draft}?document=z.cwl")
    answer = page.post(draft, {"document": "z.cwl", "input:number": "4"})
    assert wes.ended(answer.headers["location"].removeprefix("/runs/"))["outputs"] == {"twice": 8}
    assert wes.http.get(draft).status_code == 404


def test_secondary_files_are_chosen_together_with_their_file(wes: Wes, page: Page):
    reads = {"type": "File", "secondaryFiles": [".bai", "^.dict?"]}
    names = "${ return {all: inputs.reads.secondaryFiles.map(function(f) { return f.basename; }).sort().join()}; }"
    draft = page.upload(("main.cwl", expression(names, {"reads": reads}, {"all": "string"})))
    names = ("x.dict", "x.bam.bai", "x.bam")
    answer = page.post(draft, {}, [("input:reads:upload", (name, b"x")) for name in names])
    log = wes.ended(answer.headers["location"].removeprefix("/runs/"))
    assert log["outputs"] == {"all": "x.bam.bai,x.dict"}, log["run_log"]["system_logs"]


def test_what_cannot_be_submitted_is_said_on_the_page(wes: Wes, page: Page):
    for files, message in (
        ([], "Choose files, or give a URL"),
        ([("files", ("a.txt", b"x"))], "None of the files is a CWL document"),
        ([("files", ("../a.cwl", b"cwlVersion: v1.2"))], "The file name of an attachment"),
    ):
        answer = page.post("/submit", {}, files)
        assert answer.status_code == 422
        assert message in answer.text
    for url in ("https://evil.example/x.cwl", "file:///etc/passwd", "/etc/passwd", "ftp://x/y", EVIL):
        answer = page.post("/submit", {"url": url})
        assert answer.status_code == 422, url
        assert "<img src=x" not in answer.text
    wrong = page.upload(("main.cwl", {**TWICE, "inputs": {"number": EVIL}}))
    answer = wes.http.get(wrong)
    assert answer.status_code == 422
    assert "The document is not valid" in answer.text
    assert str(wes.service.folder.path) not in answer.text
    assert "<img src=x" not in answer.text


def test_a_form_reads_no_file_of_this_machine(page: Page):
    draft = page.upload(("main.cwl", expression("${ return {}; }", {"file": "File"}, {})))
    for place in (
        "/etc/passwd",
        "file:///etc/passwd",
        "../../x",
        "https://evil.example/x",
        '{"class":"File","path":"/x"}',
    ):
        answer = page.post(draft, {"input:file": place})
        assert answer.status_code == 422, place
        assert len(errors(answer.text)) == 1


def test_submitting_needs_the_token_of_a_page(wes: Wes, page: Page):
    draft = page.upload(("main.cwl", TWICE))
    for path in ("/submit", draft):
        assert wes.http.post(path, files=[("files", ("main.cwl", b"x"))]).status_code == 403
    assert wes.http.get("/submit/" + "0" * 32).status_code == 404
    assert wes.http.get("/submit/..%2fruns").status_code == 404


def test_describing_a_document_confines_nothing_but_itself(wes: Wes, tmp_path: Path):
    """What the same request does next, such as exchanging its user's token, reaches the issuer."""
    (tmp_path / "a.cwl").write_text(json.dumps(expression("${ return {}; }", {}, {})))
    assert wes.service.described((tmp_path / "a.cwl").as_uri(), tmp_path).inputs == ()
    assert confinement.current() is None
