"""gunicorn's settings that need code: client certificates are asked for, and proxies are certificates, too."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any


def ssl_context(_config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """The context that gunicorn makes, with RFC 3820 proxies allowed."""
    context = default()
    context.verify_flags |= ssl.VerifyFlags.VERIFY_ALLOW_PROXY_CERTS
    return context
