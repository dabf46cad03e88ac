"""Which of a site's container engines runs a job."""

import pytest

from gridcwl.worker.engine import EngineError
from gridcwl.worker.site import engine_of

IMAGE = {"id": "debian:12", "pull": "debian:12"}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Engines of this machine: each a program that says whether it has an image, and whether it can pull one."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def add(name, *, has=False, pulls=False):
        there = tmp_path / f"{name}-has-it"
        if has:
            there.touch()
        program = tmp_path / name
        program.write_text(
            "#!/bin/sh\n"
            f'case "$*" in\n*inspect*) [ -e {there} ] && echo "sha256:{name} null" ;;\n'
            f"*pull*) {f'touch {there}' if pulls else 'echo no registry >&2; exit 125'} ;;\nesac\n"
        )
        program.chmod(0o755)

    return add


def engine(*names):
    return engine_of({"engines": names}, which=lambda name: name)


def test_an_engine_that_has_the_image_is_taken_before_one_that_would_have_to_get_it(machine):
    machine("podman", pulls=True)
    machine("docker", has=True)
    chosen = engine("podman", "docker")
    assert chosen.prepare(IMAGE) == "sha256:docker"
    assert chosen.name == "docker"


def test_where_none_has_the_image_the_first_that_can_get_it_is_taken(machine):
    machine("podman")
    machine("docker", pulls=True)
    chosen = engine("podman", "docker")
    assert chosen.prepare(IMAGE) == "sha256:docker"
    assert chosen.name == "docker"


def test_where_none_can_get_the_image_each_reports_why_and_another_site_may_try(machine):
    machine("podman")
    machine("docker")
    with pytest.raises(EngineError, match=r"podman cannot get .* no registry.* docker cannot get") as told:
        engine("podman", "docker").prepare(IMAGE)
    assert told.value.temporary


def test_the_bare_command_is_taken_where_it_is_named_first_or_nothing_else_is_there():
    assert not engine_of({"engines": ["none", "docker"]}).containers
    assert not engine_of({"engines": ["docker", "none"]}, which=lambda _name: None).containers


def test_a_machine_without_any_engine_is_reported_and_another_site_may_try():
    with pytest.raises(EngineError, match="No container engine is installed") as told:
        engine_of({}, which=lambda _name: None)
    assert told.value.temporary
