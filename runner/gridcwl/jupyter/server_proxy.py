"""The page of ``gridcwl serve`` in JupyterLab's launcher, by jupyter-server-proxy.

The service listens on a socket that only this user can connect to: other users of the machine cannot reach it. Its
pages link from the root of their host; behind the proxy these links get the proxy's path before them.
"""

from __future__ import annotations

import re
import sys
from importlib import resources
from typing import Any

NAME = "gridcwl"
_PATIENCE_S = 60
_LINKS = re.compile(rb'\b(href|src|action|data-live|data-follow)="/(?!/)')


def server() -> dict[str, Any]:
    """What the entry point ``jupyter_serverproxy_servers`` returns."""
    icon = resources.files("gridcwl.service").joinpath("static", "icon.svg")
    return {
        "command": [sys.executable, "-m", "gridcwl", "serve", "--quiet", "--unix-socket", "{unix_socket}"],
        "unix_socket": True,
        "timeout": _PATIENCE_S,
        "rewrite_response": below_the_proxy,
        "launcher_entry": {"title": NAME, "icon_path": str(icon), "category": "Other"},
        "new_browser_tab": True,
    }


def below_the_proxy(response: Any, request: Any, path: str) -> None:
    """Have links and redirections of a page begin with the proxy's path.

    Args:
        response: of the service; changed in place.
        request: as the proxy received it.
        path: what the service was requested for.
    """
    prefix = _prefix(request.path, path)
    if response.headers.get("Content-Type", "").startswith("text/html"):
        response.body = _LINKS.sub(lambda found: found[1] + b'="' + prefix.encode() + b"/", response.body)
    place = response.headers.get("Location", "")
    if place.startswith("/") and not place.startswith("//"):
        response.headers["Location"] = prefix + place


def _prefix(requested: str, path: str) -> str:
    """The proxy's path: what stands before that of the service."""
    shown = requested.removesuffix(path) if path not in ("", "/") else requested
    return shown.rstrip("/")
