"""Names of files in Rucio: valid wherever, and read back."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcwl.worker.naming import LONGEST, escaped, name_of, path_in, place_of, split_url, unescaped, url_of

ESCAPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # the strictest of the policies' patterns
PREFIX = "run.step.j1-2-1."

paths = st.binary(min_size=1, max_size=40).filter(lambda raw: b"\0" not in raw).map(os.fsdecode)


@given(paths)
def test_any_path_can_be_read_back_from_a_name_that_all_policies_allow(path: str) -> None:
    name = name_of(PREFIX, path)
    assert ESCAPE.fullmatch(name)
    assert path_in(name) == path
    assert unescaped(escaped(path)) == path


@given(paths, paths)
def test_two_files_never_get_one_name(one: str, other: str) -> None:
    assert (escaped(one) == escaped(other)) == (one == other)


@given(st.text("ab/ ü", min_size=200, max_size=400), st.text("ab/ ü", min_size=200, max_size=400))
def test_names_that_would_be_too_long_are_cut_and_stay_different(one: str, other: str) -> None:
    names = [name_of(PREFIX, path) for path in (one, other)]
    assert all(len(name) <= LONGEST and ESCAPE.fullmatch(name) for name in names)
    assert (names[0] == names[1]) == (one == other)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("run.step.j1-2-1.a.txt", "a.txt"),
        ("/ctao.org/scope/run/step/j1-2-1/a.txt", "a.txt"),
        ("gridcwl.s" + 40 * "a" + ".a-_20b.txt", "a b.txt"),
        ("a/foreign/name.fits", "name.fits"),
        ("plain-_20.fits", "plain-_20.fits"),
    ],
)
def test_what_a_tool_called_a_file_is_found_in_its_name(name: str, path: str) -> None:
    assert path_in(name) == path


@pytest.mark.parametrize("scope", ["test", "user.alice", "group.x.y", "ctao"])
@pytest.mark.parametrize("naming", ["hash", "identity"])
def test_places_are_those_of_rucios_own_code(
    scope: str, naming: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rucio.cfg").write_text("[client]\n")
    monkeypatch.setenv("RUCIO_CONFIG", str(tmp_path / "rucio.cfg"))  # rucio cannot even be imported without one
    translation = pytest.importorskip("rucio.rse.translation").RSEDeterministicTranslation
    theirs = translation("X", {"lfn2pfn_algorithm": naming}, {}).path(scope, "a.b-c_d")
    assert place_of(scope, "a.b-c_d", naming) == theirs


def test_ctaos_names_are_paths() -> None:
    assert place_of("user.alice", "/ctao.org/user/a/alice/x", "name") == "ctao.org/user/a/alice/x"


def test_an_unknown_way_of_naming_is_refused() -> None:
    with pytest.raises(ValueError, match="belleii"):
        place_of("scope", "name", "belleii")


@pytest.mark.parametrize(("scope", "name"), [("s", "n"), ("user.x", "a/b"), ("c", "/ctao.org/x")])
def test_urls_are_read_back(scope: str, name: str) -> None:
    assert split_url(url_of("rucio", scope, name), "rucio") == (scope, name)


@pytest.mark.parametrize("url", ["rucio://", "rucio://scope", "rucio://scope/", "rucio:///name", "file:///x"])
def test_what_is_no_did_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=re.escape(url)):
        split_url(url, "rucio")
