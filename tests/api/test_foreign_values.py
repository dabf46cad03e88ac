"""Values of numpy, pandas, astropy and rucio-jupyterlab become typed inputs; what has no type names its place."""

from __future__ import annotations

import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import Angle, SkyCoord
from astropy.table import QTable
from astropy.time import Time

from gridcwl import File, InputError
from gridcwl.values import to_cwl, to_json

HERE = Path("/here")
AT_X = {"class": "File", "location": "file:///x", "basename": "x"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.arange(3), [0, 1, 2]),
        (np.array(2.5), 2.5),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([Path("/x"), None], dtype=object), [AT_X, None]),
        (np.array([(1, 2.5)], dtype=[("n", int), ("x", float)]), [{"n": 1, "x": 2.5}]),
        (np.datetime64("2026-11-29T10:00"), "2026-11-29T10:00"),
        (np.array(["2026-11-29"], dtype="datetime64[D]"), ["2026-11-29"]),
        (np.ma.array([1, 2], mask=[False, True]), [1, None]),
        (pd.Series([1, 2], index=["a", "b"]), [1, 2]),
        (pd.Series(["a", None], dtype="string"), ["a", None]),
        (pd.Series(["x", "y"], dtype="category"), ["x", "y"]),
        (pd.Index([1, 2]), [1, 2]),
        (pd.DataFrame({"n": [1, 2], "name": ["a", "b"]}), [{"n": 1, "name": "a"}, {"n": 2, "name": "b"}]),
        (pd.Timestamp("2026-11-29 10:00"), "2026-11-29T10:00:00"),
        (pd.NA, None),
        (pd.NaT, None),
        (30 * u.GeV, "30.0 GeV"),
        (np.array([1, 2]) * u.deg, ["1.0 deg", "2.0 deg"]),
        (3 * u.dimensionless_unscaled, 3.0),
        (50 * u.percent, 0.5),
        (Angle("1.5d"), "1.5 deg"),
        (Time("2026-11-29T10:00:00"), "2026-11-29T10:00:00.000"),
        (QTable({"e": [1.0, 2.0] * u.TeV, "n": [1, 2]}), [{"e": "1.0 TeV", "n": 1}, {"e": "2.0 TeV", "n": 2}]),
        (datetime.date(2026, 11, 29), "2026-11-29"),
        (range(3), [0, 1, 2]),
        (PurePosixPath("/x/y"), {"class": "File", "location": "file:///x/y", "basename": "y"}),
    ],
)  # fmt: skip
def test_a_value_of_another_package_is_a_plain_value_of_the_same_meaning(value: Any, expected: Any):
    assert to_cwl({"x": value}, HERE) == {"x": expected}
    to_json({"x": value}, HERE)  # nothing is left that JSON does not know


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([1.0, np.nan]), r"inputs.x\[1\] is nan"),
        (pd.Series([1.0, None]), r"inputs.x\[1\] is nan"),
        (np.complex128(1 + 2j), r"inputs.x is the complex number \(1\+2j\)"),
        (np.array([1j]), r"inputs.x\[0\] is"),
        ((1 + 1j) * u.m, "inputs.x is the complex quantity"),
        (SkyCoord(1 * u.deg, 2 * u.deg), "inputs.x is <SkyCoord"),
        (pd.DataFrame({"n": [float("inf")]}), r"inputs.x\[0\].n is inf"),
        ({1, 2}, r"inputs.x is \{1, 2\}"),
    ],
)
def test_a_value_without_a_type_in_cwl_is_an_error_that_names_the_input(value: Any, words: str):
    with pytest.raises(InputError, match=words):
        to_cwl({"x": value}, HERE)


# -- as rucio-jupyterlab 41.0.0 has them -------------------------------------------------------------------------------


class DIDNotAvailableException(BaseException):
    """Not an Exception there, either."""


class MultipleItemDID(list):  # type: ignore[type-arg]
    def __init__(self, items: Any, did_available: bool = True) -> None:
        super().__init__(items)
        self.items = items
        self.did_available = did_available

    def __iter__(self) -> Any:
        if not self.did_available:
            raise DIDNotAvailableException
        return super().__iter__()

    def __repr__(self) -> str:
        if not self.did_available:
            raise DIDNotAvailableException
        return super().__repr__()


class SingleItemDID(str):
    def __new__(cls, path: Any, pfn: Any = None) -> SingleItemDID:
        made = str.__new__(cls, path)
        made.path, made.pfn, made.did_available = path, pfn, path is not None  # type: ignore[attr-defined]
        return made

    def __str__(self) -> str:
        if not self.did_available:  # type: ignore[attr-defined]
            raise DIDNotAvailableException
        return str(self.path)  # type: ignore[attr-defined]

    __repr__ = __str__


def test_attached_files_are_files_by_their_path_or_else_by_where_rucio_has_them(tmp_path: Path):
    (tmp_path / "a b").touch()
    here = SingleItemDID(str(tmp_path / "a b"), "root://lyon//a")
    there = SingleItemDID("/nowhere/b", "root://lyon:1094//b")
    given = {"one": here, "many": MultipleItemDID([here, there])}
    at_path, at_pfn = to_cwl(File(tmp_path / "a b"), HERE), to_cwl(File("root://lyon:1094//b"), HERE)
    assert to_cwl(given, HERE) == {"one": at_path, "many": [at_path, at_pfn]}


def test_attached_files_that_are_not_here_but_in_rucio_are_inputs_of_jobs_that_read_them_there():
    there = SingleItemDID(None, "rucio://cta/run1")
    given = {"one": there, "many": MultipleItemDID([there], did_available=False)}
    place = to_cwl(File("rucio://cta/run1"), HERE)
    assert to_cwl(given, HERE) == {"one": place, "many": [place]}


@pytest.mark.parametrize(
    "value",
    [SingleItemDID(None), MultipleItemDID([], did_available=False), [SingleItemDID(None)], {"a": SingleItemDID(None)}],
)
def test_an_attached_did_that_is_not_available_is_an_error_that_names_the_input(value: Any):
    with pytest.raises(InputError, match=r"inputs.x\S* is an attached DID that is not available yet"):
        to_cwl({"x": value}, HERE)


def test_an_attached_file_that_is_gone_is_an_error_that_names_the_input():
    with pytest.raises(InputError, match=r"inputs.x is an attached DID whose file /nowhere/b does not exist"):
        to_cwl({"x": SingleItemDID("/nowhere/b")}, HERE)
