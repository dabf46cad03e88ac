"""Texts that a database cannot keep, from whoever sends them: each request is answered, and all others still are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documents import expression
from wes import Wes, serving

pytestmark = pytest.mark.postgresql

TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})
TEXTS = ["a\0b", "\ud800", "x" * 5000, "'; é\U0001f52d %_\\"]


@pytest.fixture
def wes(tmp_path: Path, postgresql_url: str) -> Iterator[Wes]:
    hooks = {"urls": ["http://127.0.0.1:9/"], "private": True}
    with serving(tmp_path, db=postgresql_url, webhooks=hooks) as client:
        yield client


def answers(wes: Wes, text: str) -> dict[str, int]:
    """What requests with a text in each of their places are answered with."""
    sent = json.dumps(text)
    http, made = wes.http, {}
    for field, value in {
        "tags": f'{{"name": {sent}, {sent}: "x"}}',
        "params": f'{{"number": 1, "other": {sent}}}',
        "workflow_url": None,
        "engine": f'{{"--max-jobs": {sent}}}',
    }.items():
        fields = {"tags": value} if field == "tags" else {}
        fields |= {"workflow_url": text.encode("utf-8", "replace").decode()} if field == "workflow_url" else {}
        fields |= {"workflow_engine_parameters": value} if field == "engine" else {}
        params: Any = value if field == "params" else {"number": 1}
        made[field] = wes.post(TWICE, params, **fields).status_code
    quoted = "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))
    for path in (
        *("/ga4gh/wes/v1/runs/{}", "/ga4gh/wes/v1/runs?page_token={}", "/api/v1/runs/{}", "/?q={}", "/?state={}"),
        *("/runs/{}", "/runs/{}/jobs/1", "/ga4gh/tes/v1/tasks/{}", "/ga4gh/tes/v1/tasks?name_prefix={}"),
        *("/ga4gh/tes/v1/tasks?tag_key={0}&tag_value={0}", "/api/v1/webhooks/{}/deliveries", "/submit/{}"),
        *("/uws/{}", "/account?done={}", "/static/{}", "/api/v1/runs/x/explain?step={}"),
    ):
        made[path] = http.get(path.format(quoted)).status_code
    for body in ({"url": f"http://127.0.0.1:9/{text}"}, {"url": "http://127.0.0.1:9/", "run": text}):
        answer = http.post("/api/v1/webhooks", content=json.dumps(body))
        made[f"webhook {sorted(body)}"] = answer.status_code
    task = {"name": text, "description": text, "executors": [{"image": "x", "command": [text]}], "tags": {text: text}}
    made["task"] = http.post("/ga4gh/tes/v1/tasks", content=json.dumps(task)).status_code
    made["delete"] = http.delete(f"/api/v1/webhooks/{quoted}").status_code
    return made


def test_no_text_is_an_error_of_the_service(wes: Wes):
    for text in TEXTS:
        found = answers(wes, text)
        assert {what: code for what, code in found.items() if code >= 500} == {}, text
    for path in ("/", "/?q=x", "/ga4gh/wes/v1/runs", "/api/v1/runs", "/ga4gh/tes/v1/tasks?view=FULL", "/account"):
        assert wes.http.get(path).status_code == 200, path
