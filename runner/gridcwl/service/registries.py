"""Documents in GA4GH tool registries (TRS 2): ``trs://HOST/ID/VERSION``, or the URL of a version there.

https://ga4gh.github.io/tool-registry-service-schemas
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from gridcwl import imports
from gridcwl.errors import DocumentError, UnsafePath
from gridcwl.model import confinement, paths
from gridcwl.model.confinement import Confinement, confine

API = "/ga4gh/trs/v2/tools/"
_VERSION = re.compile(rf"https?://[^/]+{API}[^/]+/versions/[^/]+/?")
_PATIENCE_S = 30


def prefixes(allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The URLs that may be fetched, with those of the registries that are allowed by ``trs://HOST/``."""
    hosts = dict.fromkeys(urlsplit(url).netloc for url in allowed if url.startswith("trs://"))
    return (*allowed, *(f"https://{host}{API}" for host in hosts))


def located(document: str) -> str:
    """Where the text of a document is, if it is one of a registry; any other stays. Blocking.

    Raises:
        DocumentError: the registry does not have it.
        UnsafePath: it may not be fetched.
    """
    url, hash_, fragment = document.partition("#")
    if url.startswith("trs://"):
        parts = urlsplit(url)
        tool, _, version = parts.path.strip("/").rpartition("/")
        if not tool:
            raise DocumentError(f"{url} names no version", remedy="Write it as trs://HOST/ID/VERSION.")
        url = f"https://{parts.netloc}{API}{quote(unquote(tool), safe='')}/versions/{quote(unquote(version), safe='')}"
    elif _VERSION.fullmatch(url) is None:
        return document
    url = url.rstrip("/")
    path = next((one["path"] for one in _files(url) if one.get("file_type") == "PRIMARY_DESCRIPTOR"), None)
    if path is None:
        raise DocumentError(f"The registry has no CWL document at {url}", remedy="Check the id and the version.")
    try:
        name = paths.relative(str(path).removeprefix("/").removeprefix("./"), "The path of a document in a registry")
    except UnsafePath as error:
        raise DocumentError(error.message) from None
    return f"{url}/PLAIN_CWL/descriptor/{quote(name)}{hash_}{fragment}"


def _files(url: str) -> list[dict[str, Any]]:
    confinement.check_url(url, "The document")
    imports.load("requests")
    import requests

    from gridcwl.cwl.anonymous import AnonymousSession

    try:
        response = AnonymousSession().get(f"{url}/CWL/files", timeout=_PATIENCE_S)
        response.raise_for_status()
        found = response.json()
    except (requests.RequestException, ValueError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        reason = f"it answers {status}" if status else "it does not answer as a registry"
        raise DocumentError(f"The registry does not give the files of {url}: {reason}") from error
    if not isinstance(found, list):
        raise DocumentError(f"The registry answers with no list of files for {url}")
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("path"), str)]


def located_within(document: str, allowed: Confinement) -> str:
    """As :func:`located`, with what may be read by this call's thread."""
    confine(allowed)
    return located(document)
