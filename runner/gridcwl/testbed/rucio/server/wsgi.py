"""What gunicorn serves: Rucio's application, with what Apache does in front of it in production.

``RUCIO_MERGE_SLASHES=1`` is Apache's MergeSlashes: the client sends /dids/<scope>/%2Fctao.org%2F..., WSGI decodes that
to '//', and policies whose names begin with '/' expect one slash.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from rucio.web.rest.main import application as rucio

_MERGE = os.environ.get("RUCIO_MERGE_SLASHES") == "1"
_SHORT = {
    "countryName": "C",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "commonName": "CN",
    "domainComponent": "DC",
}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request."""
    if _MERGE:
        environ["PATH_INFO"] = re.sub("/{2,}", "/", environ.get("PATH_INFO", ""))
    # never from a header: only a handshake tells who it is
    environ.pop("SSL_CLIENT_S_DN", None)
    if subject := _subject(environ.get("gunicorn.socket")):
        environ["SSL_CLIENT_S_DN"] = subject
        environ["SSL_CLIENT_VERIFY"] = "SUCCESS"
    answer: Iterable[bytes] = rucio(environ, start_response)
    return answer


def _subject(connection: Any) -> str | None:
    """Who is on the other side, as mod_ssl writes it; Rucio itself takes off what a proxy adds."""
    shown = connection.getpeercert() if hasattr(connection, "getpeercert") else None
    if not shown:
        return None
    return "".join(f"/{_SHORT.get(name, name)}={value}" for part in shown["subject"] for name, value in part)
