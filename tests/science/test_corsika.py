"""A whole CORSIKA run is distinguished from a broken one."""

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import Run, file, local

CARD = "RUNNR 7\nEVTNR 1\nNSHOW 2\nPRMPAR 14\nERANGE 1E2 1E3\nEXIT\nNSHOW 99\n"
LOG = " NUMBER OF GENERATED EVENTS =          2\n ========== END OF RUN =====\n"
VERSION = 7.75


def block(tag: bytes, words: Sequence[float], size: int) -> bytes:
    """One block of CORSIKA's output: a tag of four letters, then 32-bit words."""
    filled = [*words, *[0.0] * (size - 1 - len(words))]
    return tag + struct.pack(f"<{size - 1}f", *filled)


def dat(path: Path, *, events: int = 2, thinned: bool = False, end: bool = True) -> Path:
    """A made-up DAT file of protons of 500 GeV; thinned files have longer blocks."""
    size = 312 if thinned else 273
    header = [7.0, 240101.0, VERSION]
    blocks = [block(b"RUNH", header, size)]
    for number in range(1, events + 1):
        blocks.append(block(b"EVTH", [number, 14.0, 500.0, *[0.0] * 39, 7.0, 240101.0, VERSION], size))
        blocks.append(block(struct.pack("<f", 5001.0), [0.1, 0.2, 9.0, 100.0, 200.0, 5.0], size))
        blocks.append(block(b"EVTE", [number], size))
    if end:
        blocks.append(block(b"RUNE", [7.0, events], size))
    blocks += [bytes(4 * size)] * (-len(blocks) % 21)
    with path.open("wb") as stream:
        for first in range(0, len(blocks), 21):
            record = b"".join(blocks[first : first + 21])
            marker = struct.pack("<i", len(record))
            stream.write(marker + record + marker)
    return path


def problems(module: ModuleType, path: Path, card: str = CARD, log: str = LOG, *, thinned: bool = False) -> list[str]:
    data = module.read_data(path, thinned=thinned)
    return module.problems_of(data, module.parse_card(card), module.parse_log(log))


@pytest.mark.parametrize("thinned", [False, True])
def test_a_whole_run_has_no_problem(corsika_check: ModuleType, tmp_path: Path, thinned: bool) -> None:
    assert problems(corsika_check, dat(tmp_path / "DAT000007", thinned=thinned), thinned=thinned) == []


def test_a_run_without_its_end_is_broken(corsika_check: ModuleType, tmp_path: Path) -> None:
    (found,) = problems(corsika_check, dat(tmp_path / "DAT000007", end=False))
    assert "the data end after 2 whole events" in found


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("NSHOW 3", "the card asks for NSHOW 3, the file has 2 events"),
        ("RUNNR 8", "the card is of run 8, the data are of run 7"),
        ("EVTNR 5", "the card starts at event 5, the data 1"),
        ("PRMPAR 1", "the card asks for primary 1"),
        ("ERANGE 1E3 1E4", "the card's energies are 1000 to 10000 GeV"),
    ],
)
def test_data_that_contradict_the_card_are_reported(
    corsika_check: ModuleType, tmp_path: Path, card: str, said: str
) -> None:
    found = problems(corsika_check, dat(tmp_path / "DAT000007"), card)
    assert any(said in problem for problem in found)


def test_a_log_that_breaks_off_is_reported(corsika_check: ModuleType, tmp_path: Path) -> None:
    (found,) = problems(corsika_check, dat(tmp_path / "DAT000007"), log=" SHOWER NO 1\n")
    assert "no END OF RUN" in found


@pytest.fixture
def run(data: Callable[[str], Path]) -> dict[str, Path]:
    """The real run: 10 proton showers with card and log."""
    names = {"data": "DAT000001", "card": "datacard_run_000001.inp", "log": "datacard_run_000001.out.gz"}
    return {kind: data(name) for kind, name in names.items()}


@pytest.mark.docker
@pytest.mark.data
def test_the_real_run_is_whole_and_drawn(tool: Run, run: dict[str, Path]) -> None:
    outputs = tool("workflows/corsika-check.cwl", {kind: file(path) for kind, path in run.items()}).outputs
    report = json.loads(local(outputs["report"]).read_text())
    assert report["whole"] is True
    assert report["data"]["events"] == report["card"]["showers"] == report["log"]["showers"] == 10
    assert local(outputs["lateral"]).read_bytes().startswith(b"\x89PNG")
    assert outputs["longitudinal"] == []


@pytest.mark.docker
@pytest.mark.data
def test_a_copy_cut_short_fails_and_stderr_reports_why(tool: Run, run: dict[str, Path], tmp_path: Path) -> None:
    cut = tmp_path / "DAT000001"
    cut.write_bytes(run["data"].read_bytes()[:100_000])
    finished = tool("tools/corsika-check.cwl", {"data": file(cut), "card": file(run["card"])})
    assert finished.exit_code == 1
    assert "run 1 is not whole: the data end after 7 whole events" in finished.stderr
    assert "NSHOW 10" in finished.stderr


@pytest.mark.docker
@pytest.mark.data
def test_longitudinal_profiles_are_drawn(tool: Run, data: Callable[[str], Path]) -> None:
    profile = data("corsika_77500_particle_slant.long")
    outputs = tool("tools/corsika-longitudinal.cwl", {"profile": file(profile)}).outputs
    assert local(outputs["picture"]).read_bytes().startswith(b"\x89PNG")
