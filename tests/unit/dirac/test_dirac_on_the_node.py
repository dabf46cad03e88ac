"""What a site has for containers, and where images lie there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.engine import EngineError
from gridcwl.worker.site import Archives, SiteEngine, engine_of, located, settings_of

DEBIAN = {"id": "debian:12", "pull": "debian:12"}
CVMFS = "/cvmfs/unpacked/{image}"


def installed(*names: str):
    return lambda name: f"/usr/bin/{name}" if name in names else None


def test_a_site_s_own_settings_go_over_those_for_all():
    sites = {"*": {"engines": ["podman"], "images": ["/x"]}, "Lyon": {"engines": ["apptainer"]}}
    assert settings_of(sites, "Lyon") == {"engines": ["apptainer"], "images": ["/x"]}
    assert settings_of(sites, "CNAF") == {"engines": ["podman"], "images": ["/x"]}
    assert settings_of({}, "CNAF") == {}


def test_the_first_engine_of_the_site_s_order_that_is_there_is_taken():
    engine = engine_of({"engines": ["docker", "podman"]}, installed("podman", "docker", "apptainer"))
    assert isinstance(engine, SiteEngine)
    assert engine.name == "docker"
    assert engine_of({}, installed("podman", "docker")).name == "podman"
    assert isinstance(engine_of({"engines": ["apptainer", "none"]}, installed()), BareEngine)


def test_a_node_without_an_engine_is_no_reason_to_give_the_job_up():
    with pytest.raises(EngineError, match="No container engine") as caught:
        engine_of({"engines": ["apptainer"]}, installed("podman"))
    assert caught.value.temporary


def test_an_unpacked_tree_is_taken_where_it_is():
    assert located(DEBIAN, [CVMFS], "apptainer", lambda _path: True) == {"id": "/cvmfs/unpacked/debian:12"}
    assert located(DEBIAN, [CVMFS], "apptainer", lambda _path: False) == DEBIAN


def test_a_tree_is_of_no_use_to_docker_but_an_archive_is():
    places = [CVMFS, "/data/{file}.tar"]
    found = located(DEBIAN, places, "docker", lambda _path: True)
    assert found["id"] == "debian:12"
    assert found["load"].startswith("/data/debian")


def test_a_mirror_is_pulled_from_under_the_tool_s_name():
    found = located(DEBIAN, ["registry.site.org/mirror/{image}"], "podman")
    assert (found["id"], found["pull"]) == ("debian:12", "registry.site.org/mirror/debian:12")


# -- in Rucio ------------------------------------------------------------------------------------------------------

PLACE = "rucio:images:{image}.tar"


class Loading:
    """An engine that says what it was given to load, and what was in it."""

    name = "docker"

    def __init__(self, *has: str) -> None:
        self._has = has
        self.loaded: list[bytes] = []

    def has(self, image: dict) -> bool:
        return image.get("id") in self._has

    def prepare(self, image: dict) -> str:
        if "load" in image and image["id"] not in self._has:
            self.loaded.append(Path(image["load"]).read_bytes())
        return "sha256:1"


def in_rucio(folder: Path, content: bytes = b"layers") -> Archives:
    far, near = folder / "far.tar", folder / "near.tar"
    near.write_bytes(content)
    about = {
        "location": "rucio://images/x.tar",
        "sources": [far.as_uri(), near.as_uri()],
        "size": 6,
        "checksum": None,
        "elements": [{"urls": [near.as_uri()], "sites": ["Lyon"]}],
    }
    return Archives({"rucio:images:debian_12.tar": about}, "Lyon")


def test_an_image_in_rucio_is_fetched_from_nearby_and_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine = Loading()
    assert SiteEngine([engine], [PLACE], in_rucio(tmp_path)).prepare(DEBIAN) == "sha256:1"
    assert engine.loaded == [b"layers"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["near.tar"]


def test_an_image_that_the_node_has_is_not_fetched(tmp_path):
    engine = Loading("debian:12")
    SiteEngine([engine], [PLACE], in_rucio(tmp_path)).prepare(DEBIAN)
    assert engine.loaded == []


def test_an_image_that_is_not_in_rucio_is_looked_for_in_the_next_place():
    assert located(DEBIAN, [PLACE], "docker")["load"] == "rucio:images:debian_12.tar"
    engine = Loading()
    SiteEngine([engine], [PLACE], Archives({}, "Lyon")).prepare(DEBIAN)
    assert engine.loaded == []


def test_an_image_that_arrives_damaged_may_be_had_by_another_try(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError, match="cannot be fetched") as caught:
        SiteEngine([Loading()], [PLACE], in_rucio(tmp_path, b"cut")).prepare(DEBIAN)
    assert caught.value.temporary
