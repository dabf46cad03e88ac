"""A parametrised run has the form of CORSIKA's, does what its card says, and says what it is."""

import io
from pathlib import Path

import eventio
import numpy as np
import pytest

from simpipe import NOTICE, SimpipeError, array, atmosphere, card, iact, run, shower
from simpipe.camera import Camera, Pointing
from simpipe.cli import shower as command

ARRAY = Path(__file__).parents[3] / "cwl" / "data" / "four-telescopes.yml"
CARD = """\
RUNNR 7
EVTNR 3
NSHOW 2
PRMPAR 1
ESLOPE -2.0
ERANGE 500 500
THETAP 20 20
PHIP 30 30
SEED 5 0 0
SEED 6 0 0
OBSLEV 215600
CSCAT 3 15000 0
TELESCOPE 0 0 0 1200
TELESCOPE 10000 0 0 1200
EXIT
"""


def simulated(tmp_path: Path, text: str = CARD, name: str = "run.iact") -> Path:
    path = tmp_path / name
    run.simulate(card.parse(text), path)
    return path


def events(path: Path) -> list:
    with eventio.IACTFile(str(path)) as file:
        return list(file)


def test_a_run_has_its_showers_and_uses_in_order(tmp_path: Path) -> None:
    found = [(int(event.event_number), int(event.reuse)) for event in events(simulated(tmp_path))]
    assert found == [(3, 1), (3, 2), (3, 3), (4, 1), (4, 2), (4, 3)]


def test_the_same_card_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first = simulated(tmp_path).read_bytes()
    assert simulated(tmp_path, name="again.iact").read_bytes() == first
    assert simulated(tmp_path, CARD.replace("SEED 5", "SEED 8"), "other.iact").read_bytes() != first


def test_showers_go_where_the_card_declares(tmp_path: Path) -> None:
    for event in events(simulated(tmp_path)):
        assert np.degrees(event.header["zenith"]) == pytest.approx(20)
        assert np.degrees(event.header["azimuth"]) == pytest.approx(30)
        assert event.header["total_energy"] == pytest.approx(500)
        brightest = max(event.photon_bunches.values(), key=lambda bunches: bunches["photons"].sum())
        flight = np.average(np.stack([brightest["cx"], brightest["cy"]]), axis=1, weights=brightest["photons"])
        assert np.degrees(np.arctan2(flight[1], flight[0])) == pytest.approx(30, abs=8)


def test_a_view_cone_spreads_directions_within_it(tmp_path: Path) -> None:
    text = CARD.replace("NSHOW 2", "NSHOW 30").replace("CSCAT 3", "VIEWCONE 0 5\nCSCAT 1")
    axis = run.pointing(20, 30)
    angles = []
    for event in events(simulated(tmp_path, text)):
        seen = run.pointing(np.degrees(event.header["zenith"]), np.degrees(event.header["azimuth"]))
        angles.append(np.degrees(np.arccos(np.clip(seen @ axis, -1, 1))))
    assert max(angles) <= 5.001
    assert max(angles) > 2.5


def test_the_table_of_impacts_is_there_and_within_the_circle(tmp_path: Path) -> None:
    found = events(simulated(tmp_path))
    impacts = np.array([(event.impact_x, event.impact_y) for event in found]) / 100
    assert len(np.unique(impacts, axis=0)) == len(found)
    assert np.hypot(*impacts.T).max() <= 150
    header = found[0].header
    assert header["n_reuse"] == 3
    assert -header["reuse_x"][:3] == pytest.approx([100 * impact[0] for impact in impacts[:3]], rel=1e-5)


def test_the_run_reports_what_made_it(tmp_path: Path) -> None:
    with eventio.IACTFile(str(simulated(tmp_path))) as file:
        assert NOTICE in file.input_card.decode()
        assert file.input_card.decode().startswith("* simpipe-parametrised")
        assert file.n_telescopes == 2


def test_a_run_that_breaks_off_has_no_end() -> None:
    stream = io.BytesIO()
    with pytest.raises(SimpipeError, match="0 of 2 showers"), iact.Writer(stream, card.parse(CARD)):
        pass


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("NSHOW 2\n", "", "NSHOW is missing"),
        ("PRMPAR 1", "PRMPAR 5626", "PRMPAR 5626 has no parametrisation"),
        ("ERANGE 500 500", "ERANGE 500", "ERANGE has 1 of 2 values"),
        ("ERANGE 500 500", "ERANGE low high", "is not 2 numbers"),
        ("PHIP 30 30", "PHIP 0 360", "a range"),
        ("THETAP 20 20", "THETAP 70 70", "not from 0 to 60 degrees"),
        ("CSCAT 3", "CSCAT 21", "CSCAT needs 1 to 20 uses"),
        ("TELESCOPE", "* TELESCOPE", "TELESCOPE is missing"),
    ],
)
def test_a_card_that_cannot_be_simulated_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    path = tmp_path / "card.inp"
    path.write_text(CARD.replace(old, new))
    assert command([str(path), "-o", str(tmp_path / "run.iact")]) == 1
    stderr = capsys.readouterr().err
    assert said in stderr
    assert stderr.startswith("simpipe-shower: card.inp: ")
    assert stderr.count("\n") == 1


def test_a_shower_is_at_its_maximum_where_greisen_has_it() -> None:
    t = np.linspace(0.1, 30, 3000)
    profile = shower.greisen(1000.0, t)
    assert t[profile.argmax()] == pytest.approx(np.log(1000 / shower.CRITICAL_ENERGY), abs=0.1)
    assert 500 < profile.max() < 2000  # rule of thumb: one electron at maximum for each GeV


def test_all_light_goes_somewhere() -> None:
    angle = np.linspace(0, np.pi / 2, 200_000)
    one = np.ones_like(angle)
    density = shower.angular_density(angle, 0.08 * one, 0.015 * one, one)
    assert np.trapezoid(density * 2 * np.pi * np.sin(angle), angle) == pytest.approx(1, abs=0.05)


def test_the_atmosphere_is_that_of_the_tables() -> None:
    assert float(atmosphere.depth(0)) == pytest.approx(1036.1, abs=0.5)  # g/cm2, U.S. standard atmosphere
    assert float(atmosphere.density(0)) == pytest.approx(1.225, rel=0.02)
    heights = np.array([500.0, 5e3, 15e3, 60e3])
    assert atmosphere.height(atmosphere.depth(heights)) == pytest.approx(heights, rel=1e-3)


def test_light_from_higher_up_and_of_shorter_waves_is_weakened_more() -> None:
    through = atmosphere.transmission([300.0, 400.0, 500.0], 10e3, 2156.0, 1.0)
    assert 0 < through[0] < through[1] < through[2] < 1
    assert float(atmosphere.transmission(400.0, 15e3, 2156.0, 1.0)) < float(
        atmosphere.transmission(400.0, 5e3, 2156.0, 1.0)
    )


def camera() -> Camera:
    return Camera(array.read(ARRAY).telescopes[0].type, 2156.0, 20.0, (280.0, 650.0))


def test_a_camera_has_the_pixels_that_its_field_of_view_holds() -> None:
    eye = camera()
    area = len(eye.x) * np.sqrt(3) / 2 * eye.kind.pixel_width**2
    assert area == pytest.approx(np.pi * (28 * np.tan(np.radians(2.25))) ** 2, rel=0.03)


def test_light_along_the_axis_falls_into_the_middle_and_triggers() -> None:
    eye, pointing = camera(), Pointing.of(np.radians(70), np.radians(150))
    bunches = np.zeros(200, dtype=run.light.BUNCH)
    bunches["photons"], bunches["zem"] = 50, 10e5
    bunches["cx"], bunches["cy"] = -pointing.to[0], -pointing.to[1]
    image = eye.image(np.random.default_rng(1), bunches, 12.0, pointing)
    x, y = (np.average(place, weights=image.true) for place in (eye.x, eye.y))
    assert np.hypot(x, y) < 0.01
    assert image.triggered
    assert 200 < image.true.sum() < 3000


def test_the_night_sky_alone_does_not_trigger() -> None:
    eye, pointing = camera(), Pointing.of(np.radians(70), 0.0)
    nothing = np.zeros(0, dtype=run.light.BUNCH)
    images = [eye.image(np.random.default_rng(seed), nothing, 12.0, pointing) for seed in range(200)]
    assert not any(image.triggered for image in images)
    assert np.mean([image.charge.mean() for image in images]) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("mirror_area: 386", "mirror_aera: 386", "lacks ['mirror_area'] and has ['mirror_aera']"),
        ("id: 2", "id: 1", "an id of its own"),
        ("type: large, x: -35.3", "type: small, x: -35.3", "no 'small'"),
        ("site:", "sight:", "no 'site'"),
        ("telescopes:", "telescopes: [", "cannot be read"),
    ],
)
def test_an_array_that_makes_no_sense_is_reported_in_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "array.yml"
    path.write_text(ARRAY.read_text().replace(old, new))
    with pytest.raises(SimpipeError) as raised:
        array.read(path)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
