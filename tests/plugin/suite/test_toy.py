"""The toy backend and the toy store keep their contracts. Run where gridcwl, gridcwl-toy and pytest are installed."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from gridcwl_toy.store import ToyStore

from gridcwl import plugins
from gridcwl.backends.base import Backend, BackendContext, BackendPlugin
from gridcwl.model import RunId
from gridcwl.model.files import FileRef
from gridcwl.stores.base import Store
from gridcwl.testing.backends import BackendSuite, HooksSuite, Place
from gridcwl.testing.stores import StoreContract


class TestToyBackend(BackendSuite):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        def make(run: RunId) -> AbstractAsyncContextManager[Backend]:
            context = BackendContext(run, tmp_path)
            return plugins.open_backend(plugins.BackendChoice("toy"), context)

        return Place(make)


class TestToyHooks(HooksSuite):
    @pytest.fixture
    def plugin(self) -> BackendPlugin:
        return plugins.backend("toy")


class TestToyStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return ToyStore(tmp_path / "store")

    @pytest.fixture
    def elsewhere(self) -> FileRef:
        return FileRef("toy:///gone.txt")
