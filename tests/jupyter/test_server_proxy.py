"""The pages of ``gridcwl serve`` behind jupyter-server-proxy, which serves them below a path of its own."""

from __future__ import annotations

import asyncio
import socket
import stat
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gridcwl.errors import ConfigError
from gridcwl.jupyter.server_proxy import below_the_proxy
from gridcwl.service.guard import SameOrigin
from gridcwl.service.serving import bound_to
from gridcwl.service.settings import load


def test_the_entry_point_starts_the_service_on_a_socket_and_has_an_icon():
    (entry,) = [one for one in metadata.entry_points(group="jupyter_serverproxy_servers") if one.name == "gridcwl"]
    server = entry.load()()
    assert server["command"][-2:] == ["--unix-socket", "{unix_socket}"]
    assert server["unix_socket"] is True
    assert Path(server["launcher_entry"]["icon_path"]).is_file()


def rewritten(body: bytes, requested: str, path: str, **headers: str) -> Any:
    response = SimpleNamespace(headers={"Content-Type": "text/html; charset=utf-8", **headers}, body=body)
    below_the_proxy(response, SimpleNamespace(path=requested), path)
    return response


def test_links_forms_and_live_parts_of_a_page_begin_with_the_proxy_s_path():
    page = b'<a href="/runs/1"><form action="/submit"><body data-live="/live/runs"><img src="/static/icon.svg">'
    at = rewritten(page, "/user/me/gridcwl/runs/1", "/runs/1")
    assert at.body.count(b'="/user/me/gridcwl/') == 4
    assert rewritten(b'<a href="/">', "/gridcwl/", "/").body == b'<a href="/gridcwl/">'


def test_links_to_elsewhere_and_what_is_no_page_stay_as_they_are():
    page = b'<a href="https://a.example/"><a href="//b.example/"><a href="#x">'
    assert rewritten(page, "/gridcwl/", "/").body == page
    script = b'x = "<a href=\\"/\\">"; href="/a"'
    assert rewritten(script, "/gridcwl/a.js", "/a.js", **{"Content-Type": "text/javascript"}).body == script


def test_a_redirection_within_the_service_begins_with_the_proxy_s_path():
    assert rewritten(b"", "/gridcwl/submit", "/submit", Location="/runs/1").headers["Location"] == "/gridcwl/runs/1"
    there = "https://login.example/"
    assert rewritten(b"", "/gridcwl/login", "/login", Location=there).headers["Location"] == there


def test_only_the_owner_can_connect_to_the_socket_and_a_stale_one_is_replaced(tmp_path: Path):
    place = tmp_path / "s"
    settings = load(None, {"folder": tmp_path, "unix_socket": place})
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    with bound_to(settings) as bound:
        bound.listen()
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        with pytest.raises(ConfigError, match="cannot listen on"), bound_to(settings):
            pass
        assert place.is_socket()
    assert not place.exists()


def test_a_file_that_is_no_socket_is_not_replaced(tmp_path: Path):
    (tmp_path / "s").write_text("mine")
    with pytest.raises(ConfigError, match="cannot listen on"), bound_to(load(None, {"unix_socket": tmp_path / "s"})):
        pass
    assert (tmp_path / "s").read_text() == "mine"


@pytest.mark.parametrize(
    ("origin", "status"), [("https://hub.example", 200), ("https://evil.example", 403), (None, 200)]
)
def test_behind_a_socket_any_host_is_served_but_no_page_of_another_origin(origin: str | None, status: int):
    seen: list[int] = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(200)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen.append(message["status"])

    headers = [(b"host", b"hub.example")] + ([(b"origin", origin.encode())] if origin else [])
    scope = {"type": "http", "headers": headers}
    asyncio.run(SameOrigin(app, any_host=True)(scope, None, send))  # type: ignore[arg-type]
    assert seen == [status]
