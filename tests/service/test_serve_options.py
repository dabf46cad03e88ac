"""Options of ``gridcwl serve`` go before its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gridcwl.cli import serve


def test_a_folder_of_the_command_line_counts_from_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found: list[Any] = []

    async def served(settings: Any) -> None:
        found.append(settings)

    monkeypatch.setattr(serve, "_serve", served)
    monkeypatch.setattr(serve, "set_up_logging", lambda *_args, **_options: None)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "service.toml").write_text("port = 0\n")
    monkeypatch.chdir(tmp_path)
    assert serve.main(["--dir", "d", "--config", "etc/service.toml"]) == 0
    assert found[0].folder == tmp_path / "d"
