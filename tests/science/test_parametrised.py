"""The parametrised simulation beside real CORSIKA files: its light, where showers go, what the files hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eventio
import numpy as np
import pytest

from simpipe import card, run

from .conftest import CWL, Run, file, local

REUSED = "3_gammas_reuse_5.dat"
TWO = "two_telescopes.dat"
INCLINED = "5_gamma_2_telescopes_reuse_2_split_always.zst"
FACTOR = 2.5  # between the mean density of light of the parametrised showers and that of the real ones
SHOWERS = 40


def events(path: Path) -> list[Any]:
    with eventio.IACTFile(str(path)) as found:
        return list(found)


def own_card(path: Path) -> str:
    with eventio.IACTFile(str(path)) as found:
        return found.input_card.decode()


def fixed(text: str, **lines: str) -> str:
    """A real card with other lines: a run of ours has one direction."""
    for key, line in lines.items():
        text = re.sub(rf"^{key}\b.*$", f"{key} {line}", text, flags=re.M)
    return text


def densities(path: Path, least: float, greatest: float) -> np.ndarray:
    """Photons per m2 and TeV at each telescope at these distances from the shower axis, m."""
    found = []
    with eventio.IACTFile(str(path)) as events_of:
        telescopes = events_of.telescope_positions
        for event in events_of:
            zenith, azimuth = float(event.header["zenith"]), float(event.header["azimuth"])
            axis = np.array([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), -np.cos(zenith)])
            for tel, bunches in event.photon_bunches.items():
                at = telescopes[tel]
                place = np.array([at["x"] - event.impact_x, at["y"] - event.impact_y, 0.0], dtype=float) / 100
                if least <= np.linalg.norm(np.cross(place, axis)) < greatest:
                    area = np.pi * (float(at["r"]) / 100) ** 2
                    found.append(bunches["photons"].sum() / area / float(event.header["total_energy"]) * 1000)
    return np.array(found)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "lines", "least", "greatest"),
    [
        (REUSED, {"PHIP": "0 0"}, 60, 250),
        (TWO, {"THETAP": "1 1", "PHIP": "0 0"}, 60, 250),
        (INCLINED, {}, 60, 110),
    ],
)
def test_gamma_rays_give_as_much_light_as_corsikas_within_a_factor(
    data: Callable[[str], Path], tmp_path: Path, name: str, lines: dict[str, str], least: float, greatest: float
) -> None:
    real = densities(data(name), least, greatest)
    text = fixed(own_card(data(name)), NSHOW=str(SHOWERS), **lines)
    made = tmp_path / "run.iact"
    run.simulate(card.parse(text), made)
    ours = densities(made, least, greatest)
    assert len(real) >= 2
    assert len(ours) > 20
    assert 1 / FACTOR < ours.mean() / real.mean() < FACTOR


@pytest.mark.data
def test_a_real_card_sends_our_showers_where_it_sent_corsikas(data: Callable[[str], Path], tmp_path: Path) -> None:
    made = tmp_path / "run.iact"
    run.simulate(card.parse(own_card(data(INCLINED))), made)
    real, ours = events(data(INCLINED))[0], events(made)[0]
    for word in (
        "zenith",
        "azimuth",
        "angle_array_x_magnetic_north",
        "energy_min",
        "n_reuse",
        "cherenkov_wavelength_max",
    ):
        assert ours.header[word] == pytest.approx(real.header[word], rel=1e-5), word
    assert np.degrees(ours.header["azimuth"]) == pytest.approx(178.57, abs=0.01)


@pytest.mark.data
def test_our_files_have_the_parts_of_real_ones_and_the_table_of_impacts(
    data: Callable[[str], Path], tmp_path: Path
) -> None:
    made = tmp_path / "run.iact"
    run.simulate(card.parse(fixed(own_card(data(REUSED)), PHIP="0 0")), made)

    def kinds(path: Path) -> list[int]:
        with eventio.EventIOFile(str(path)) as objects:
            return [item.header.type for item in objects]

    # real ones may have the atmosphere's table (1216) and longitudinal profiles (1211) beside these
    assert kinds(made) == [kind for kind in kinds(data(REUSED)) if kind not in (1211, 1216)]
    real, ours = events(data(REUSED)), events(made)
    assert [(event.event_number, event.reuse) for event in ours] == [
        (event.event_number, event.reuse) for event in real
    ]
    assert all(np.hypot(event.impact_x, event.impact_y) <= 20000 for event in [*real, *ours])
    assert ours[0].photon_bunches[0].dtype.names == real[0].photon_bunches[0].dtype.names


@pytest.mark.docker
def test_a_card_becomes_images_that_say_they_are_parametrised(tool: Run) -> None:
    made = {"primary": "gamma", "showers": 10, "energy": [1.0, 2.0], "radius": 150.0, "azimuth": 120.0}
    array = file(CWL / "data" / "four-telescopes.yml")
    (asked,) = tool("tools/corsika-cards.cwl", made | {"array": array}).outputs["cards"]
    finished = tool("workflows/simulate.cwl", {"card": file(local(asked)), "array": array})
    events_file = local(finished.outputs["events"])
    content = events_file.read_bytes()
    assert content.startswith(b"\x89HDF")
    assert b"no scientific validity" in content
    assert b"parametrised, not sim_telarray" in content


@pytest.mark.docker
def test_the_licensed_generator_is_asked_for_by_name_and_its_image_is_missed(tool: Run, tmp_path: Path) -> None:
    asked = tmp_path / "card.inp"
    asked.write_text("RUNNR 1\nEXIT\n")
    array = file(CWL / "data" / "four-telescopes.yml")
    finished = tool("workflows/simulate.cwl", {"generator": "corsika", "card": file(asked), "array": array})
    if finished.exit_code == 0:
        pytest.skip("this machine has images of CORSIKA and sim_telarray")
    assert "corsika" in finished.stderr
    assert "parametrised" not in finished.stdout
