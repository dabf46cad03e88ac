"""Where jobs run."""

from gridcwl.backends.base import Backend, Capabilities

__all__ = ["Backend", "Capabilities"]
