"""DIDs as users write them, and those of a run."""

from __future__ import annotations

import re

import pytest

from gridcwl import plugins
from gridcwl.errors import ConfigError, InputError
from gridcwl.stores.rucio.names import Did, Naming, Query, mark_of, read
from gridcwl.worker.naming import path_in

ESCAPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,249}")
CTAO = re.compile(r"/[A-Za-z0-9][/A-Za-z0-9._-]{0,248}")


@pytest.mark.parametrize(
    ("written", "did"),
    [
        ("rucio://user.alice/a.fits", Did("user.alice", "a.fits")),
        ("rucio://ctao//ctao.org/x/a.fits", Did("ctao", "/ctao.org/x/a.fits")),
        ("rucio:user.alice:a.fits", Did("user.alice", "a.fits")),
        ("user.alice:dir/a.fits", Did("user.alice", "dir/a.fits")),
        ("lfn:/ctao.org/x", Did("mine", "/ctao.org/x")),
        ("lfn://ctao.org/x", Did("mine", "/ctao.org/x")),
        ("LFN:/ctao.org/x", Did("mine", "/ctao.org/x")),
    ],
)
def test_a_did_can_be_written_in_these_ways(written: str, did: Did) -> None:
    assert read(written, "mine") == Query(did)


def test_a_pattern_with_filters_is_a_search() -> None:
    query = read("rucio://s/run1*?type=dataset&length.gt=1000")
    assert query == Query(Did("s", "run1*"), (("length.gt", "1000"),), "dataset")
    assert query.is_search


@pytest.mark.parametrize("written", ["/data/x.fits", "x.fits", "https://x/y", "C:\\x", "a b:c", "scope:"])
def test_what_is_none_is_left_alone(written: str) -> None:
    assert read(written) is None


@pytest.mark.parametrize("written", ["rucio://scope", "rucio://s/x?type=folder", "rucio:nothing", "lfn:/x"])
def test_what_is_meant_for_rucio_and_wrong_is_refused(written: str) -> None:
    with pytest.raises(InputError):
        read(written)


@pytest.mark.parametrize(
    ("template", "valid"),
    [("{run}/{step}", ESCAPE), ("proj-x/{document}/{run}/{step}", ESCAPE), ("/ctao.org/{scope}/{run}/{step}", CTAO)],
)
@pytest.mark.parametrize("step", ["sort", "align/sort it", "größe/x+y", "x" * 400])
def test_names_of_a_run_are_valid(template: str, valid: re.Pattern[str], step: str) -> None:
    naming = Naming("user.alice", template, "20261123-014321-abcdef", "my doc")
    prefix = naming.prefix(step, "1-2-3")
    names = [
        naming.container.name,
        naming.dataset(step, "out").name,
        f"{prefix}a.txt",
        naming.upload("0" * 40, "ü").name,
    ]
    for name in names:
        assert valid.fullmatch(name), name
    assert len(set(names)) == 4
    assert path_in(f"{prefix}a.txt") == "a.txt"


def test_ctaos_paths_begin_as_ctao_has_it() -> None:
    naming = Naming("user.alice", "/ctao.org/{scope}/{run}/{step}", "run-1")
    assert naming.prefix("dl1", "1-2-1") == "/ctao.org/user/a/alice/run-1/dl1/j1-2-1/"
    assert naming.upload("0" * 40, "x").name.startswith("/ctao.org/user/a/alice/gridcwl/s")


def test_each_attempt_has_names_of_its_own() -> None:
    assert mark_of("20261123-014321-abcdef-2-17", 3) == "2-17-3"


def test_an_upload_is_called_by_its_content_not_by_the_run() -> None:
    one, other = (Naming("s", "{run}/{step}", run).upload("0" * 40, "x") for run in ("run-1", "run-2"))
    assert one == other


@pytest.mark.parametrize("template", ["{run}", "{step}", "{run}/{step}/{user}", "{run} {step}", "{run}:{step}"])
def test_a_template_that_cannot_work_is_refused(template: str) -> None:
    with pytest.raises(ConfigError):
        Naming("s", template, "run-1")


@pytest.mark.parametrize(
    ("text", "store"),
    [("user.me:run.txt", "rucio"), ("ctao:/ctao.org/dir/*.h5", "rucio"), ("run.txt", ""), ("a b:c", ""), ("a:", "")],
)
def test_a_name_without_a_scheme_may_be_one_of_rucio_s(text: str, store: str) -> None:
    assert plugins.store_of_name(text) == store


@pytest.mark.parametrize(
    ("location", "store"),
    [
        ("rucio://s/n", "rucio"), ("rucio:s:n", "rucio"), ("LFN:/ctao/x", "rucio"), ("file:///x", ""),
        ("https://example.org/x", ""), ("s3://bucket/x", ""), ("data/x", ""),
    ],
)  # fmt: skip
def test_a_location_is_of_the_store_that_declares_its_scheme_or_prefix(location: str, store: str) -> None:
    assert plugins.store_of_location(location) == store
