"""Options in a journal: those of earlier versions are read, and those of later versions are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridcwl.backends.dirac.plugin import DiracSettings
from gridcwl.backends.local.plugin import LocalSettings
from gridcwl.cli import options as command_line
from gridcwl.errors import ConfigError
from gridcwl.runs.options import Options, from_plain, saved_grid, to_plain
from gridcwl.runs.settings import options_for
from gridcwl.stores.rucio.settings import RucioSettings

FORMER = json.loads("""
{"document": "wf.cwl", "words": ["in.yml"], "outdir": "/data/out", "engine": "podman", "retries": 2,
 "state_dir": "/data/state", "cache_dir": "/data/cache",
 "grid": {"backend": "dirac", "dirac_mode": "wms", "detach": true, "sites": ["LCG.CNAF.it"], "banned": [],
          "tags": ["GPU"], "platform": null, "priority": 5, "job_type": null, "cpu_time": 7200,
          "placement": {"sort": {"sites": ["LCG.Lyon.fr"]}}, "locality": "strict", "local_mib": 100,
          "local_wait": 300, "pack": "auto", "window": 500, "longest_pause": 30, "stalled_after": 3600,
          "engines": {"*": ["apptainer"]}, "images": {}},
 "store": {"store": "rucio", "scope": "user.ada", "name": "{run}/{step}", "elements": "tier=1",
           "sites": {"LCG.CNAF.it": ["CNAF-DISK"]}, "site": "HOME", "keep_days": 7, "lifetime_days": 30.0,
           "copies": 2, "rse_expression": "", "output_dataset": "user.ada:night", "download": false, "cache": true,
           "cache_scopes": ["user.bob"]}}
""")
"""As gridcwl recorded them before backends and stores were plugins."""


def test_a_run_of_an_earlier_version_keeps_its_settings_of_dirac_and_rucio() -> None:
    options = from_plain(FORMER)
    assert options.grid.settings == DiracSettings(
        sites=("LCG.CNAF.it",),
        tags=("GPU",),
        priority=5,
        cpu_time=7200,
        placement={"sort": {"sites": ["LCG.Lyon.fr"]}},
        locality="strict",
        pack="auto",
        window=500,
        engines={"*": ("apptainer",)},
    )
    assert options.grid.detach
    assert options.store.settings == RucioSettings(
        scope="user.ada",
        elements="tier=1",
        sites={"LCG.CNAF.it": ("CNAF-DISK",)},
        site="HOME",
        keep_days=7,
        lifetime_days=30.0,
        copies=2,
        output_dataset="user.ada:night",
        download=False,
        cache=True,
        cache_scopes=("user.bob",),
    )
    assert (options.store.site, options.engine, options.outdir) == ("HOME", "podman", Path("/data/out"))


@pytest.mark.parametrize(("backend", "mode"), [("dirac", "local"), ("diracx", "wms"), ("local", "wms")])
def test_the_backend_of_a_run_of_an_earlier_version_is_known(backend: str, mode: str) -> None:
    saved = {"grid": {**FORMER["grid"], "backend": backend, "dirac_mode": mode}}
    assert saved_grid(saved).backend == backend
    assert saved_grid(saved).is_local_mode == (mode == "local")


def test_options_come_back_as_they_were_recorded() -> None:
    options = from_plain(FORMER)
    assert from_plain(json.loads(json.dumps(to_plain(options)))) == options


def test_options_of_a_later_version_are_refused() -> None:
    saved = {**to_plain(Options("wf.cwl")), "format": 4}
    with pytest.raises(ConfigError, match="of format 4, and this version reads formats up to 3"):
        from_plain(saved)
    with pytest.raises(ConfigError, match="of format 4"):
        saved_grid(saved)


def test_settings_that_no_backend_takes_are_refused_with_a_sentence() -> None:
    saved = {**FORMER, "grid": {**FORMER["grid"], "window": "many"}}
    with pytest.raises(ConfigError, match="recorded settings of the backend dirac cannot be read"):
        from_plain(saved)


def test_a_run_of_an_earlier_version_keeps_how_its_containers_are_limited_and_reused() -> None:
    saved = {**to_plain(Options("wf.cwl")), "format": 2, "reuse_containers": True, "strict_memory_limit": True}
    saved["grid"] = {"backend": "local", "settings": {}, "detach": False}
    expected = LocalSettings(reuse_containers=True, strict_memory_limit=True)
    assert from_plain(saved).grid.settings == saved_grid(saved).settings == expected


@pytest.mark.parametrize(
    ("file", "variable", "option", "python"),
    [
        ("reuse_containers = true", "", [], {}),  # as before there was the table
        ("[local]\nreuse_containers = true", "", [], {}),
        ("", "GRIDCWL_REUSE_CONTAINERS", [], {}),
        ("", "GRIDCWL_LOCAL_REUSE_CONTAINERS", [], {}),
        ("", "", ["--reuse-containers"], {"reuse_containers": True}),
        ("", "", ["--reuse-containers"], {"local": {"reuse_containers": True}}),
    ],
)
def test_a_setting_of_the_local_backend_holds_wherever_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    file: str,
    variable: str,
    option: list[str],
    python: dict[str, Any],
) -> None:
    (tmp_path / "config.toml").write_text(file)
    monkeypatch.setenv("GRIDCWL_CONFIG", str(tmp_path / "config.toml"))
    if variable:
        monkeypatch.setenv(variable, "yes")
    of_python = options_for("doc.cwl", (), python, tmp_path)
    of_command_line = command_line._options(command_line._parser(), [f"--outdir={tmp_path}", *option], "doc.cwl", ())
    assert of_python.grid.settings == of_command_line.grid.settings == LocalSettings(reuse_containers=True)


def test_an_option_switches_off_what_the_configuration_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[local]\nreuse_containers = true\nstrict_cpu_limit = true")
    monkeypatch.setenv("GRIDCWL_CONFIG", str(tmp_path / "config.toml"))
    words = [f"--outdir={tmp_path}", "--no-reuse-containers"]
    options = command_line._options(command_line._parser(), words, "doc.cwl", ())
    assert options.grid.settings == LocalSettings(strict_cpu_limit=True)
