"""Where bytes live. Each store describes, fetches, publishes, and says how a worker gets at what it holds."""

from gridcwl.stores.base import Store

__all__ = ["Store"]
