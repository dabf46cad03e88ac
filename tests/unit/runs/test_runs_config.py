"""One configuration from file, environment and command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridcwl.cli.options import parse
from gridcwl.config import Config, load, parsed
from gridcwl.errors import ConfigError
from gridcwl.plugins import declared


@pytest.fixture(autouse=True)
def nothing_of_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in (
        "ENGINE",
        "MAX_JOBS",
        "STATE_DIR",
        "CACHE_DIR",
        "RETRIES",
        "CACHE",
        "ON_ERROR",
        "TMPDIR_PREFIX",
        "CONFIG",
    ):
        monkeypatch.delenv(f"GRIDCWL_{name}", raising=False)


def test_without_settings_nothing_is_set():
    assert load({"XDG_CONFIG_HOME": "/nowhere"}) == Config()


def test_the_environment_goes_over_the_file_and_the_command_line_over_both(tmp_path, monkeypatch):
    (tmp_path / "gridcwl").mkdir()
    (tmp_path / "gridcwl" / "config.toml").write_text('engine = "podman"\nmax_jobs = 3\nretries = 1\ncache = true\n')
    monkeypatch.setenv("GRIDCWL_MAX_JOBS", "5")
    options = parse(["doc.cwl"])
    assert (options.engine, options.containers, options.max_jobs, options.retries, options.cache) == (
        "podman", True, 5, 1, True,
    )  # fmt: skip
    options = parse(["--max-jobs", "7", "--docker", "--no-cache", "--retries", "0", "doc.cwl"])
    assert (options.engine, options.max_jobs, options.retries, options.cache) == ("docker", 7, 0, False)


def test_no_engine_means_bare_commands_unless_one_is_asked_for(monkeypatch):
    monkeypatch.setenv("GRIDCWL_ENGINE", "none")
    assert not parse(["doc.cwl"]).containers
    asked = parse(["--podman", "doc.cwl"])
    assert (asked.containers, asked.engine) == (True, "podman")


def test_folders_in_a_file_count_from_it():
    config = parsed('state_dir = "runs"\ncache_dir = "/var/cache"\n', Path("/etc/gridcwl/config.toml"))
    assert (config.state_dir, config.cache_dir) == (Path("/etc/gridcwl/runs"), Path("/var/cache"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('\nengine = "dokcer"\n', r"config\.toml:2: engine is 'dokcer', but takes one of: docker"),
        ("# words\n\nmax_jobs = 0\n", r"config\.toml:3: max_jobs is 0, but takes a whole number, at least 1"),
        ("max_jobs = true\n", r"config\.toml:1: max_jobs is True"),
        ("cache = 3\n", r"config\.toml:1: cache is 3, but takes true or false"),
        ("retries = 1\nmax_job = 3\n", r"config\.toml:2: there is no setting 'max_job'"),
        ("[jobs]\nmax = 1\n", r"config\.toml:1: there is no setting 'jobs'"),
        ("reuse_containers = 3\n", r"config\.toml:1: reuse_containers is 3, but takes true or false"),
        ("[local]\nreuse_containers = 3\n", "as reuse_containers true or false"),
        ("state_dir = 7\n", r"config\.toml:1: state_dir is 7, but takes the path of a folder"),
        ("max_jobs = \n", r"config\.toml is not readable TOML: .*line 1"),
    ],
)
def test_a_mistake_in_the_file_is_reported_with_its_line(text, said):
    with pytest.raises(ConfigError, match=said):
        parsed(text, Path("config.toml"), declared())


def test_a_mistake_in_the_environment_is_reported_with_its_variable():
    with pytest.raises(ConfigError, match="GRIDCWL_MAX_JOBS is 'many', but takes a whole number"):
        load({"GRIDCWL_MAX_JOBS": "many"})


def test_rucio_has_a_table_of_its_own():
    config = parsed(
        'store = "rucio"\n[rucio]\nscope = "user.alice"\nkeep_days = 3\ncache_scopes = ["cta"]\n'
        '[rucio.sites]\n"LCG.CNAF.it" = ["CNAF-DISK"]\n"LCG.Lyon.fr" = "LYON"\n',
        Path("config.toml"),
        declared(),
    )
    assert config.store == "rucio"
    rucio = config.tables["rucio"]
    assert (rucio["scope"], rucio["keep_days"], rucio["cache_scopes"]) == ("user.alice", 3.0, ("cta",))
    assert rucio["sites"] == {"LCG.CNAF.it": ("CNAF-DISK",), "LCG.Lyon.fr": ("LYON",)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rucio]\nscop = 1\n", "config.toml:1: rucio is .* but takes only scope, name"),
        ("[rucio]\ncopies = 0\n", "as copies a whole number, at least 1"),
        ("[rucio]\nkeep_days = 0\n", "as keep_days a number greater than 0"),
        ("[rucio.sites]\nx = 3\n", "as sites a table of lists"),
    ],
)
def test_a_mistake_in_rucios_table_is_reported(text, said):
    with pytest.raises(ConfigError, match=said):
        parsed(text, Path("config.toml"), declared())


def test_a_named_file_has_to_be_there(tmp_path):
    with pytest.raises(ConfigError, match="GRIDCWL_CONFIG names"):
        load({"GRIDCWL_CONFIG": str(tmp_path / "none.toml")})


def test_variables_of_other_purposes_are_left_alone():
    assert load({"GRIDCWL_DATA": "/data", "GRIDCWL_CACHE": "no", "XDG_CONFIG_HOME": "/nowhere"}) == Config(cache=False)
