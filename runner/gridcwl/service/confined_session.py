"""A session of requests for what users ask for: allowed URLs only, no credentials, no redirections, with limits.

What a service of the Virtual Observatory answers names other URLs, which clients then follow: each request is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gridcwl import imports
from gridcwl.errors import StoreError
from gridcwl.model import limits

_PATIENCE_S = (15, 120)


class LimitedStream:
    """The bytes of an answer, up to a limit; else as urllib3's response."""

    def __init__(self, raw: Any, most_bytes: int) -> None:
        self._raw = raw
        self._left = most_bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def read(self, amt: int | None = None, **options: Any) -> bytes:
        """As urllib3's. Raises StoreError: there is more."""
        if amt is None or amt < 0:
            parts = []
            while data := self.read(1 << 16, **options):
                parts.append(data)
            return b"".join(parts)
        return self._counted(self._raw.read(amt, **options))

    def stream(self, *given: Any, **options: Any) -> Iterator[bytes]:
        """As urllib3's."""
        for data in self._raw.stream(*given, **options):
            yield self._counted(data)

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise StoreError(f"It sends more than {limits.TEXT_BYTES >> 20} MiB", remedy="Ask for less.")
        return data


def confined_session(allows: Callable[[str], bool]) -> Any:
    """The session.

    Args:
        allows: whether a URL may be read.
    """
    imports.load("requests")
    import requests

    class Confined(requests.Session):
        def send(self, request: Any, **options: Any) -> Any:
            if not allows(str(request.url)):
                raise StoreError(
                    f"It leads to {str(request.url).partition('?')[0][:200]}, which this service does not read",
                    remedy="Its operator allows URLs by allowed_urls.",
                )
            whole = not options.get("stream")
            patience = options.get("timeout") or _PATIENCE_S
            response = super().send(request, **{**options, "stream": True, "timeout": patience})
            response.raw = LimitedStream(response.raw, limits.TEXT_BYTES)
            if whole:
                _ = response.content
            return response

    made = Confined()
    made.trust_env = False
    made.max_redirects = 0
    return made
