"""Where jobs run, as the command line, the configuration and the placement file say it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridcwl.backends.dirac.factory import options_of, server_name
from gridcwl.backends.dirac.options import DiracOptions
from gridcwl.cli.options import parse
from gridcwl.errors import ConfigError, UsageError
from gridcwl.model import Placement
from gridcwl.runs.from_options import backend_of
from gridcwl.runs.options import Options, grid_from_plain


@pytest.fixture(autouse=True)
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def write(text: str) -> None:
        (tmp_path / "config.toml").write_text(text)
        monkeypatch.setenv("GRIDCWL_CONFIG", str(tmp_path / "config.toml"))

    write("")
    return write


def dirac_options(options: Options) -> DiracOptions:
    chosen = backend_of(options)
    return options_of(chosen.settings, chosen.jobs, Path("folder"))


def test_jobs_run_on_this_machine_by_default(configured):
    assert parse(["wf.cwl"]).grid.backend == "local"
    configured('backend = "dirac"')
    assert parse(["wf.cwl"]).grid.backend == "dirac"
    assert parse(["--backend", "local", "wf.cwl"]).grid.backend == "local"


def test_at_dirac_a_failed_place_is_tried_elsewhere_by_default():
    assert parse(["wf.cwl"]).retries == 0
    assert parse(["--backend", "dirac", "wf.cwl"]).retries == 2
    assert parse(["--backend", "dirac", "--retries", "0", "wf.cwl"]).retries == 0


def server(options: Options) -> str:
    return server_name(options.grid.settings)


def test_jobs_go_to_dirac_by_its_client_by_diracx_or_by_its_local_mode(configured):
    assert not parse(["wf.cwl"]).grid.is_elsewhere
    assert server(parse(["--backend", "dirac", "wf.cwl"])) == "dirac"
    assert server(parse(["--backend", "diracx", "wf.cwl"])) == "diracx"
    local = parse(["--backend", "dirac", "--dirac-mode", "local", "wf.cwl"])
    assert (server(local), local.retries, local.grid.is_elsewhere) == ("dirac-local", 0, False)
    assert grid_from_plain(json.loads(json.dumps(local.grid.plain()))).is_local_mode
    configured('backend = "dirac"\n[dirac]\nmode = "local"\n')
    assert server(parse(["wf.cwl"])) == "dirac-local"
    assert server(parse(["--dirac-mode", "wms", "wf.cwl"])) == "dirac"
    assert server(parse(["--backend", "diracx", "wf.cwl"])) == "diracx"
    assert parse(["--backend", "local", "wf.cwl"]).grid.backend == "local"


def test_what_the_local_mode_is_not_for_is_reported():
    with pytest.raises(ConfigError, match="--dirac-mode local is not for --backend diracx"):
        parse(["--backend", "diracx", "--dirac-mode", "local", "wf.cwl"])
    with pytest.raises(ConfigError, match="--submit-only"):
        parse(["--backend", "dirac", "--dirac-mode", "local", "--submit-only", "wf.cwl"])


def test_pack_alone_is_cwltool_s_and_with_a_number_ours():
    assert parse(["--pack", "wf.cwl"]).show == "pack"
    for words in (["--pack", "5"], ["--pack=5"], ["--pack-jobs", "5"]):
        options = parse(["--backend", "dirac", *words, "wf.cwl"])
        assert (options.show, options.grid.settings.pack) == (None, 5)
    assert parse(["--backend", "dirac", "--pack", "auto", "wf.cwl"]).grid.settings.pack == "auto"


def test_the_command_line_goes_over_the_table(configured):
    configured('[dirac]\nsites = ["A"]\nbanned = ["B"]\npriority = 3\nlocality = "off"\nengines = {"*" = ["podman"]}\n')
    options = parse(["--backend", "dirac", "--site", "C", "--ban-site", "D", "wf.cwl"])
    choice = dirac_options(options)
    assert choice.wishes.placement == Placement(sites=("C",), banned=("B", "D"), priority=3)
    assert choice.wishes.locality == "off"
    assert choice.sites == {"*": {"engines": ["podman"]}}


def test_what_containers_may_do_is_configured_and_travels_to_every_site(configured, monkeypatch):
    configured('cap_add = ["cap_net_raw"]\npids_limit = 100\n[dirac.engines]\n"LCG.Lyon.fr" = ["podman"]\n')
    options = parse(["--backend", "dirac", "wf.cwl"])
    assert (options.capabilities, options.processes) == (("NET_RAW",), 100)
    monkeypatch.setenv("GRIDCWL_CAP_ADD", "sys_ptrace, SYS_NICE")
    options = parse(["--backend", "dirac", "--pids-limit", "0", "wf.cwl"])
    assert (options.capabilities, options.processes) == (("SYS_PTRACE", "SYS_NICE"), 0)

    sites = dirac_options(options).sites

    assert sites == {
        "LCG.Lyon.fr": {"engines": ["podman"]},
        "*": {"cap_add": ["SYS_PTRACE", "SYS_NICE"], "pids_limit": 0},
    }


def test_a_capability_that_is_none_is_refused(configured):
    configured('cap_add = "net raw"\n')
    with pytest.raises(ConfigError, match="names of Linux capabilities"):
        parse(["wf.cwl"])
    with pytest.raises(UsageError, match="--cap-add"):
        parse(["--cap-add", "--network=host", "wf.cwl"])


def test_a_setting_of_the_table_that_means_nothing_is_reported(configured):
    configured('[dirac]\nsite = "A"\n')
    with pytest.raises(ConfigError, match="dirac"):
        parse(["wf.cwl"])


def test_single_steps_are_placed_by_a_file(tmp_path):
    file = tmp_path / "where.yml"
    file.write_text("align/sort: {sites: [Lyon], priority: 4, jobType: Test}\n")
    wishes = dirac_options(parse(["--backend", "dirac", "--placement", str(file), "wf.cwl"])).wishes
    assert wishes.steps == {"align/sort": Placement(sites=("Lyon",), priority=4, job_type="Test")}


@pytest.mark.parametrize("text", ["- a", "step: 5", "step: {site: [A]}", "step: {sites: A}", "step: ["])
def test_a_placement_file_that_means_nothing_is_reported(tmp_path, text):
    file = tmp_path / "where.yml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="placement"):
        parse(["--backend", "dirac", "--placement", str(file), "wf.cwl"])


def test_options_come_back_from_the_journal_as_they_went():
    options = parse(["--backend", "dirac", "--site", "A", "--pack", "auto", "--tag", "GPU", "wf.cwl"]).grid
    assert grid_from_plain(json.loads(json.dumps(options.plain()))) == options


def test_each_setting_of_a_table_has_a_variable_over_the_file(configured, monkeypatch):
    configured("[dirac]\nwindow = 5\npack = 2\n")
    monkeypatch.setenv("GRIDCWL_DIRAC_PACK", "auto")
    monkeypatch.setenv("GRIDCWL_DIRAC_SITES", "A, B")
    settings = parse(["--backend", "dirac", "wf.cwl"]).grid.settings
    assert (settings.window, settings.pack, settings.sites) == (5, "auto", ("A", "B"))
    assert parse(["--backend", "dirac", "--pack-jobs", "3", "wf.cwl"]).grid.settings.pack == 3


def test_a_wrong_variable_of_a_table_is_named(monkeypatch):
    monkeypatch.setenv("GRIDCWL_DIRAC_WINDOW", "many")
    with pytest.raises(ConfigError, match="GRIDCWL_DIRAC_WINDOW is 'many', but takes a whole number, at least 1"):
        parse(["wf.cwl"])


def test_a_wrong_value_of_a_plugin_s_option_is_refused():
    with pytest.raises(UsageError, match="--cpu-time: takes a whole number, at least 1, not '0'"):
        parse(["--backend", "dirac", "--cpu-time", "0", "wf.cwl"])


def test_a_backend_that_is_not_installed_is_named_with_its_line(configured):
    configured('backend = "slurm"\n')
    takes = r"config.toml:1: backend is 'slurm', but takes one of: local, dask, dirac, diracx, pool"
    with pytest.raises(ConfigError, match=takes):
        parse(["wf.cwl"])
