"""The manifest names each input file so that it can be found, trusted and passed on."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from ruamel.yaml import YAML

from .conftest import CWL

INPUTS = sorted(CWL.glob("*/tests/*.yml"))


def test_each_file_has_a_checksum_a_size_a_licence_and_a_source(fetch: ModuleType) -> None:
    manifest = fetch.read_manifest()
    assert manifest.files
    for entry in manifest.files.values():
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256), entry.name
        assert entry.size > 0
        assert entry.licence
        assert Path(entry.path).name == entry.name
        for source in entry.sources:
            assert (source.url is None) != (source.pypi is None and source.member is None)
        assert entry.sources or "Zenodo" in entry.origin  # which has it in an archive of 300 MB


def test_urls_and_packages_are_pinned(fetch: ModuleType) -> None:
    for entry in fetch.read_manifest().files.values():
        for source in entry.sources:
            assert re.search(r"/[0-9a-f]{40}/", source.url) if source.url else "==" in source.pypi


def test_the_environment_comes_before_the_folder_next_to_the_checkout(fetch: ModuleType) -> None:
    assert [str(place) for place in fetch.read_manifest().places] == ["$GRIDCWL_DATA", "../shared/data"]


@pytest.mark.parametrize("inputs", INPUTS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_input_objects_name_files_of_the_manifest_or_what_a_tool_makes_of_them(fetch: ModuleType, inputs: Path) -> None:
    manifest = fetch.read_manifest()
    text = inputs.read_text()
    for location in re.findall(r"location: ([^\s}]+)", text):
        kept = location.removeprefix("../../data/files/")
        if kept == location:
            assert (inputs.parent / location).is_file(), location
        else:
            assert kept in manifest.files or re.search(r"^# (made by: gridcwl |needs )", text, re.M), location
    assert YAML(typ="safe").load(inputs)


def test_an_unknown_key_is_refused_by_name(fetch: ModuleType, tmp_path: Path) -> None:
    broken = tmp_path / "manifest.yml"
    broken.write_text("version: 1\nplaces: [{elsewhere: /tmp}]\nfiles: []\n")
    with pytest.raises(fetch.DataError, match="elsewhere"):
        fetch.read_manifest(broken)
