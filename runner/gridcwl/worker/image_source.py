"""Where an image comes from: its archive, here or on the web, or the text of its Dockerfile."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Any, cast

from gridcwl.worker.engine import EngineError
from gridcwl.worker.paths import RefusedPath, file_path
from gridcwl.worker.web import shown_url

DOCKERFILE_LABEL = "gridcwl.dockerfile"
"""On an image that was built by us: the digest of its Dockerfile. One that bears none was put there on purpose."""

_TIMEOUT_S = 60  # as cwltool's docker.py, for the first byte and between any two


class _Encrypted(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from https to anything else."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """See ``HTTPRedirectHandler.redirect_request``."""
        if req.type == "https" and not newurl.lower().startswith("https://"):
            raise urllib.error.URLError(f"the server redirects to {shown_url(newurl)}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_archive(location: str) -> IO[bytes]:
    """The bytes of the archive at this path or URL (file, http, https, ftp).

    Raises:
        EngineError: it cannot be read.
    """
    path = local_path(location)
    try:
        if path is not None:
            return open(path, "rb")
        opener = urllib.request.build_opener(_Encrypted)
        return cast("IO[bytes]", opener.open(location, timeout=_TIMEOUT_S))
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else getattr(error, "strerror", None)
        raise EngineError(f"The image's archive {shown_url(location)} cannot be read: {reason or error}.") from error


def local_path(location: str) -> "str | None":
    """The path that a location names on this machine, or None for one on the web."""
    parts = urllib.parse.urlsplit(location)
    if parts.scheme == "file":
        try:
            return file_path(location)
        except RefusedPath as refused:
            raise EngineError(f"The image's archive {refused}.") from None
    return None if parts.scheme in {"http", "https", "ftp"} else location


def digest_of(dockerfile: str) -> str:
    """What is written to the label of an image built from this text."""
    return hashlib.sha256(dockerfile.encode()).hexdigest()
