"""SoftwareRequirement, resolved through the configuration's [software] table."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from documents import step, tool, workflow

from gridcwl.config import parsed
from gridcwl.cwl.software import Software
from gridcwl.errors import ConfigError, UnsupportedError

IMAGE = Software("root", image="rootproject/root:6.30")
MODULES = Software("root", modules=("gcc/13", "root/6.30"))


def needs(packages, where="requirements", **fields):
    return tool("root", "-b", **{where: {"SoftwareRequirement": {"packages": packages}, **fields}})


ROOT = {"root": {"version": ["6.30", "6.32"], "specs": ["https://root.cern"]}}


@pytest.mark.parametrize("where", ["requirements", "hints"])
@pytest.mark.parametrize("name", ["root", "root/6.32", "https://root.cern"])
def test_a_package_s_image_runs_the_tool(bench, where, name):
    job = bench.resolve(needs(ROOT, where), containers=True, software=(IMAGE._replace(package=name),)).job
    assert job.image is not None
    assert job.image.pull == "rootproject/root:6.30"


def test_the_tool_s_own_image_goes_before_that_of_its_packages(bench):
    own = {"DockerRequirement": {"dockerPull": "alpine"}}
    assert bench.resolve(needs(ROOT, **own), containers=True, software=(IMAGE,)).job.image.pull == "alpine"
    assert bench.resolve(needs(ROOT, **own), containers=True).job.image.pull == "alpine"


def test_modules_are_loaded_where_there_is_no_container(bench):
    command = bench.resolve(needs(ROOT), software=(MODULES,)).job.command
    assert command[:2] == ("bash", "-c")
    assert command[-5:] == ("2", "gcc/13", "root/6.30", "root", "-b")


@pytest.mark.parametrize(
    ("script", "code", "out", "err"),
    [
        ('module() { export LOADED="$LOADED $*"; }', 0, " load gcc/13 load root/6.30", ""),
        ("module() { return 1; }", 127, "", "The environment module gcc/13 cannot be loaded."),
        ("", 127, "", "This machine has no environment modules"),
    ],
)
def test_the_command_loads_modules_or_reports_what_is_missing(bench, tmp_path, script, code, out, err):
    (tmp_path / "init").mkdir()
    (tmp_path / "init/bash").write_text(script)
    document = needs(ROOT) | {"baseCommand": ["sh", "-c", 'printf %s "$LOADED"']}
    command = bench.resolve(document, software=(MODULES,)).job.command
    env = {"PATH": os.environ["PATH"], "MODULESHOME": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, out)
    assert err in done.stderr


@pytest.mark.parametrize("containers", [True, False])
def test_software_that_is_required_and_not_mapped_is_refused_by_name(bench, containers):
    document = workflow({}, {}, a=step(needs({**ROOT, "geant4": {}})))
    with pytest.raises(UnsupportedError, match=r"requires the software geant4, and gridcwl installs none") as caught:
        bench.open(document, containers=containers, software=(IMAGE, MODULES))
    assert '[software] "geant4" = {' in caught.value.remedy
    assert bench.open(document, only_check=True), "the document is valid all the same"


def test_an_image_is_of_no_use_without_containers(bench):
    with pytest.raises(UnsupportedError, match=r"the software root 6\.30 or 6\.32"):
        bench.open(needs(ROOT), software=(IMAGE,))


def test_a_hint_that_is_not_mapped_changes_nothing(bench):
    job = bench.resolve(needs(ROOT, "hints"), containers=True).job
    assert (job.image, job.command) == (None, ("root", "-b"))


def test_packages_in_different_images_are_refused(bench):
    known = (IMAGE, Software("geant4", image="geant4/geant4"))
    with pytest.raises(UnsupportedError, match="in several images: geant4/geant4, rootproject/root"):
        bench.open(needs({**ROOT, "geant4": {}}), containers=True, software=known)


def test_the_table_in_the_configuration_is_read():
    text = '[software]\nroot = { image = "i" }\n"gcc/13" = { modules = "gcc/13" }\n'
    assert parsed(text, Path("c.toml")).packages == (("root", "i", ()), ("gcc/13", "", ("gcc/13",)))


@pytest.mark.parametrize("value", ["1", '{ root = "x" }', "{ root = {} }", "{ root = { conda = 1 } }"])
def test_another_table_is_refused_with_what_to_write(value):
    with pytest.raises(ConfigError, match=r"c\.toml:1: .* takes a table: root = \{ image = "):
        parsed(f"software = {value}", Path("c.toml"))
