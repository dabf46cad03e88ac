"""Where jobs run. Each backend is a name, a module that is imported when it is used, and what to install for it."""

from __future__ import annotations

import importlib
from typing import Any

from gridcwl.backends.base import Backend, Capabilities
from gridcwl.errors import ConfigError

__all__ = ["Backend", "Capabilities", "backend_class"]

_KNOWN = {
    "local": ("gridcwl.backends.local.backend", "LocalBackend", "pip install gridcwl"),
}


def backend_class(name: str) -> Any:
    """The class of the backend of this name.

    Raises:
        ConfigError: there is no such backend, or what it needs is not installed.
    """
    try:
        module, attribute, install = _KNOWN[name]
    except KeyError:
        raise ConfigError(f"There is no backend {name!r}", remedy=f"Known are: {', '.join(_KNOWN)}.") from None
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ConfigError(f"The backend {name} cannot be loaded: {error}", remedy=f"Install it: {install}.") from error
