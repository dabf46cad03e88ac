"""DL1 files: the events of a run file as ctapipe's own writer writes them. The only module that needs ctapipe."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import astropy.units as u
import eventio
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time
from ctapipe.containers import (
    ArrayEventContainer,
    CoordinateFrameType,
    DL1CameraContainer,
    EventType,
    ObservationBlockContainer,
    SchedulingBlockContainer,
    SimulatedCameraContainer,
    SimulatedEventContainer,
    SimulatedShowerContainer,
    SimulatedShowerDistribution,
    SimulationConfigContainer,
    TelescopeImpactParameterContainer,
    TelescopePointingContainer,
    TelescopeTriggerContainer,
)
from ctapipe.coordinates import CameraFrame
from ctapipe.core import Provenance
from ctapipe.instrument import (
    CameraDescription,
    CameraGeometry,
    CameraReadout,
    OpticsDescription,
    ReflectorShape,
    SizeType,
    SubarrayDescription,
    TelescopeDescription,
)
from ctapipe.io import DataLevel, DataWriter, EventSource

from simpipe import NOTICE, SimpipeError, __version__
from simpipe.array import ArrayDescription, TelescopeType
from simpipe.camera import Camera, Image, Pointing
from simpipe.card import Card, parse

PRODUCER: Final = f"simpipe-parametrised {__version__}"
FIRST_EVENT: Final = Time("2026-01-01T00:00:00")
PRIMARIES: Final = {1: 0, 2: -1, 3: 1, 14: 101}
"""CORSIKA's particle codes as sim_telarray's."""
NOT_CORSIKA: Final = 99
"""In the fields that tell which program made showers and images: 1 stands for CORSIKA and for sim_telarray."""
USES: Final = 100  # an event's id is the shower's number times this, plus the use


class ParametrisedSource(EventSource):
    """The triggered events of one run file, seen by one array."""

    is_simulation = True
    datalevels = (DataLevel.DL1_IMAGES,)

    def __init__(self, run: Path, array: ArrayDescription, seed: int) -> None:
        super().__init__(input_url=run)
        self._array = array
        self.card = _card(run, array)
        self._seed = seed
        self._altitude = np.radians(90 - self.card.zenith)
        self._azimuth = np.radians((180 - self.card.azimuth) % 360)
        self._subarray = subarray(array)
        self.events = 0

    @staticmethod
    def is_compatible(file_path: Any) -> bool:  # noqa: ARG004
        """Never chosen by ctapipe: a run file needs an array beside it."""
        return False

    @property
    def subarray(self) -> SubarrayDescription:
        """The array, with a name that says what simulated it."""
        return self._subarray

    @property
    def scheduling_blocks(self) -> dict[int, SchedulingBlockContainer]:
        """One, for the run."""
        return {self.card.run: SchedulingBlockContainer(sb_id=np.uint64(self.card.run), producer_id=PRODUCER)}

    @property
    def observation_blocks(self) -> dict[int, ObservationBlockContainer]:
        """One, for the run."""
        block = ObservationBlockContainer(
            obs_id=np.uint64(self.card.run),
            sb_id=np.uint64(self.card.run),
            producer_id=PRODUCER,
            subarray_pointing_lat=self._altitude * u.rad,
            subarray_pointing_lon=self._azimuth * u.rad,
            subarray_pointing_frame=CoordinateFrameType.ALTAZ,
        )
        return {self.card.run: block}

    @property
    def simulation_config(self) -> dict[int, SimulationConfigContainer]:
        """What the card asked for."""
        card = self.card
        config = SimulationConfigContainer(
            run_number=np.int32(card.run), corsika_version=0, simtel_version=0, shower_prog_id=NOT_CORSIKA,
            detector_prog_id=NOT_CORSIKA,
            energy_range_min=card.energy[0] * u.GeV, energy_range_max=card.energy[1] * u.GeV,
            prod_site_alt=card.observation_level * u.m, spectral_index=card.slope, n_showers=card.showers,
            shower_reuse=card.uses, max_alt=self._altitude * u.rad, min_alt=self._altitude * u.rad,
            max_az=self._azimuth * u.rad, min_az=self._azimuth * u.rad, diffuse=card.viewcone > 0,
            max_viewcone_radius=card.viewcone * u.deg, min_viewcone_radius=0 * u.deg,
            max_scatter_range=card.scatter_radius * u.m, min_scatter_range=0 * u.m, core_pos_mode=0,
            corsika_bunchsize=1,
            corsika_wlen_min=card.wavelengths[0] * u.nm, corsika_wlen_max=card.wavelengths[1] * u.nm,
        )  # fmt: skip
        return {card.run: config}

    @property
    def simulated_shower_distributions(self) -> dict[int, SimulatedShowerDistribution]:
        """How many events were thrown in each bin of energy."""
        low, high = (value / 1e3 for value in self.card.energy)
        edges = np.geomspace(low, high * (1 + 1e-6), 41)
        power = self.card.slope + 1
        integral = np.log(edges) if abs(power) < 1e-9 else edges**power
        events = self.card.showers * self.card.uses
        distribution = SimulatedShowerDistribution(
            obs_id=self.card.run,
            hist_id=6,
            n_entries=events,
            bins_energy=edges * u.TeV,
            bins_core_dist=np.array([0.0, self.card.scatter_radius]) * u.m,
            histogram=(np.diff(integral) / (integral[-1] - integral[0]) * events)[:, None],
        )
        return {self.card.run: distribution}

    def _generator(self) -> Iterator[ArrayEventContainer]:
        band, level = self.card.wavelengths, self.card.observation_level
        kinds = {telescope.type for telescope in self._array.telescopes}
        cameras = {kind.name: Camera(kind, level, self.card.zenith, band) for kind in kinds}
        pointing = Pointing.of(self._altitude, self._azimuth)
        with eventio.IACTFile(str(self.input_url)) as file:
            for seen in file:
                number, use = int(seen.event_number), int(seen.reuse)
                rng = np.random.default_rng([self._seed, self.card.run, number, use])
                images = {}
                for index, telescope in enumerate(self._array.telescopes):
                    sphere = self.card.telescopes[index].radius
                    camera = cameras[telescope.type.name]
                    images[telescope.id] = camera.image(rng, seen.photon_bunches[index], sphere, pointing)
                triggered = {tel: image for tel, image in images.items() if image.triggered}
                if len(triggered) >= self._array.least_telescopes:
                    yield self._event(seen, triggered)

    def _event(self, seen: Any, images: dict[int, Image]) -> ArrayEventContainer:
        event = ArrayEventContainer(count=self.events)
        event.index.obs_id = self.card.run
        event.index.event_id = int(seen.event_number) * USES + int(seen.reuse)
        self.events += 1
        event.trigger.time = FIRST_EVENT + self.events * u.s
        event.trigger.tels_with_trigger = list(images)
        event.trigger.event_type = EventType.SUBARRAY
        event.simulation = SimulatedEventContainer(shower=_truth(seen))
        event.monitoring.pointing.array_azimuth = self._azimuth * u.rad
        event.monitoring.pointing.array_altitude = self._altitude * u.rad
        distance = impact_distances(event.simulation.shower, self._subarray)
        for tel, image in images.items():
            trigger = TelescopeTriggerContainer(
                time=event.trigger.time, event_type=EventType.SUBARRAY, n_trigger_pixels=7
            )
            event.trigger.tel[tel] = trigger
            event.simulation.tel[tel] = SimulatedCameraContainer(
                true_image=image.true,
                true_image_sum=int(image.true.sum()),
                impact=TelescopeImpactParameterContainer(distance=distance[tel] * u.m, prefix="true_impact"),
            )
            event.dl1.tel[tel] = DL1CameraContainer(image=image.charge, peak_time=image.peak_time, is_valid=True)
            event.monitoring.tel[tel].pointing = TelescopePointingContainer(
                azimuth=self._azimuth * u.rad, altitude=self._altitude * u.rad
            )
        return event


def _card(run: Path, array: ArrayDescription) -> Card:
    """The card in a run file, checked against the array."""
    try:
        with eventio.IACTFile(str(run)) as file:
            text = (file.input_card or b"").decode("utf-8", "replace")
    except (OSError, EOFError, ValueError, StopIteration, AttributeError) as error:
        raise SimpipeError(f"{run.name} is no run file of CORSIKA's IACT kind: {error}") from error
    card = parse(text, f"the card in {run.name}")
    if card.array_rotation != 0:
        raise SimpipeError(f"{run.name} has ARRANG {card.array_rotation:g}; telescopes here need an array along north")
    mine = [(telescope.x, telescope.y) for telescope in array.telescopes]
    theirs = [(telescope.x, telescope.y) for telescope in card.telescopes]
    if len(mine) != len(theirs) or not np.allclose(mine, theirs, atol=0.1):
        raise SimpipeError(f"{run.name} was made for other telescopes than those of {array.name}")
    return card


def _truth(seen: Any) -> SimulatedShowerContainer:
    header = seen.header
    azimuth = (np.pi - float(header["azimuth"])) % (2 * np.pi)
    return SimulatedShowerContainer(
        energy=(float(header["total_energy"]) * u.GeV).to(u.TeV),
        alt=(np.pi / 2 - float(header["zenith"])) * u.rad,
        az=azimuth * u.rad,
        core_x=0.01 * float(seen.impact_x) * u.m,
        core_y=0.01 * float(seen.impact_y) * u.m,
        h_first_int=0.01 * abs(float(header["first_interaction_height"])) * u.m,
        x_max=0.0 * u.g / u.cm**2,
        shower_primary_id=np.int16(PRIMARIES[int(header["particle_id"])]),
        starting_grammage=0.0 * u.g / u.cm**2,
    )


def impact_distances(shower: SimulatedShowerContainer, array: SubarrayDescription) -> dict[int, float]:
    """Of each telescope from the true shower axis, m."""
    to = Pointing.of(shower.alt.to_value("rad"), shower.az.to_value("rad")).to
    core = np.array([shower.core_x.to_value("m"), shower.core_y.to_value("m"), 0.0])
    return {tel: float(np.linalg.norm(np.cross(at.to_value("m") - core, to))) for tel, at in array.positions.items()}


def subarray(array: ArrayDescription) -> SubarrayDescription:
    """The array as ctapipe describes it."""
    descriptions = {telescope.type.name: _telescope(telescope.type) for telescope in array.telescopes}
    return SubarrayDescription(
        name=f"{array.name} (parametrised, not sim_telarray)",
        tel_positions={tel.id: np.array([tel.x, tel.y, tel.z]) * u.m for tel in array.telescopes},
        tel_descriptions={tel.id: descriptions[tel.type.name] for tel in array.telescopes},
        reference_location=EarthLocation(
            lat=array.latitude * u.deg, lon=array.longitude * u.deg, height=array.altitude * u.m
        ),
    )


def _telescope(kind: TelescopeType) -> TelescopeDescription:
    camera = Camera(kind, 0.0, 0.0, (300.0, 600.0))
    focal = kind.focal_length * u.m
    size = len(camera.x)
    geometry = CameraGeometry(
        name=kind.name, pix_id=np.arange(size), pix_x=camera.x * u.m, pix_y=camera.y * u.m,
        pix_area=np.full(size, np.sqrt(3) / 2 * kind.pixel_width**2) * u.m**2, pix_type="hexagon",
        frame=CameraFrame(focal_length=focal),
    )  # fmt: skip
    pulse = np.exp(-0.5 * ((np.arange(100) - 50) / 10) ** 2)
    readout = CameraReadout(
        name=kind.name, sampling_rate=1 * u.GHz, reference_pulse_shape=pulse[np.newaxis],
        reference_pulse_sample_width=0.1 * u.ns, n_channels=1, n_pixels=size, n_samples=40,
    )  # fmt: skip
    optics = OpticsDescription(
        name=kind.name, size_type=SizeType(kind.size), reflector_shape=ReflectorShape.PARABOLIC, n_mirrors=1,
        n_mirror_tiles=1, mirror_area=kind.mirror_area * u.m**2, equivalent_focal_length=focal,
        effective_focal_length=focal,
    )  # fmt: skip
    return TelescopeDescription(
        name=kind.name, optics=optics, camera=CameraDescription(name=kind.name, geometry=geometry, readout=readout)
    )


def write(run: Path, array: ArrayDescription, output: Path, seed: int) -> tuple[int, int]:
    """Write a DL1 file; how many events were thrown and how many triggered.

    Raises:
        SimpipeError: the run file is none, or was made for another array; nothing triggered.
    """
    warnings.filterwarnings("ignore", module="tables")  # names of its metadata with blanks
    Provenance().start_activity("simpipe-telescopes")  # the writer asks it for the file's metadata
    source = ParametrisedSource(run, array, seed)
    with DataWriter(
        event_source=source, output_path=output, write_dl1_images=True, write_dl1_parameters=False
    ) as writer:
        for event in source:
            writer(event)
        writer.write_simulated_shower_distributions(source.simulated_shower_distributions)
        writer._writer.h5file.root._v_attrs["NOTICE"] = NOTICE  # ctapipe has no field for it
    Provenance().finish_activity("simpipe-telescopes")
    return source.card.showers * source.card.uses, source.events
