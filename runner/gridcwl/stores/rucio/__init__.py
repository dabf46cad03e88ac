"""Rucio: where a run's files are known by their DIDs. Everything that talks to a server takes a batch.

Nothing of Rucio is imported before a client is made; without it the message says what to install.
"""

from gridcwl.stores.rucio.settings import RucioSettings

__all__ = ["RucioSettings"]
