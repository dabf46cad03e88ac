#!/usr/bin/env python3
"""Draw one event of a ctapipe file: camera images, the array from above, and the sky.

Needs DL1 images (ctapipe-process --write-images); what DL2 and simulation say is drawn where the
file has it. Angles in the sky panel are offsets from the array's pointing, as in ctapipe's
NominalFrame; ground coordinates are x to North, y to West (ctapipe's GroundFrame).
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, SkyCoord
from ctapipe.coordinates import MissingFrameAttributeWarning, NominalFrame, TelescopeFrame
from ctapipe.io import EventSource
from ctapipe.visualization import CameraDisplay
from matplotlib.axes import Axes
from matplotlib.figure import Figure

RECONSTRUCTED = "#d55e00"
TRUE = "#009e73"
CAMERAS = 6  # as many images as fit on a page
MARGIN_DEG = 0.5  # of camera shown around an image
PRIMARIES = {0: "gamma", 1: "electron", 2: "muon", 101: "proton"}  # sim_telarray's ids


class NothingToShowError(Exception):
    """The file is sound, but holds no event that can be drawn."""


@dataclass(frozen=True, slots=True)
class Shower:
    """Direction and impact point, as reconstructed or as simulated."""

    direction: SkyCoord
    core: tuple[float, float]  # m, x to North, y to West


@dataclass(frozen=True, slots=True)
class Scene:
    """One event with what surrounds it."""

    name: str
    event: Any
    subarray: Any
    pointing: SkyCoord
    reconstructed: Shower | None
    true: Shower | None
    truth: str  # what was simulated, in words

    @property
    def telescopes(self) -> list[int]:
        """Telescopes with an image, the brightest first."""

        def light(tel_id: int) -> float:
            tel = self.event.dl1.tel[tel_id]
            return float(tel.image[tel.image_mask].sum() if tel.image_mask is not None else tel.image.sum())

        return sorted((t for t in self.event.dl1.tel if self.event.dl1.tel[t].image is not None), key=light)[::-1]

    def hillas(self, tel_id: int) -> Any | None:
        """The image's ellipse, None where cleaning left nothing."""
        parameters = self.event.dl1.tel[tel_id].parameters
        found = parameters.hillas if parameters is not None else None
        return found if found is not None and np.isfinite(found.intensity) else None


def with_images(event: Any) -> int:
    """How many telescopes of an event have an image with something left after cleaning."""
    masks = [tel.image_mask for tel in event.dl1.tel.values() if tel.image is not None]
    return sum(1 if mask is None else bool(mask.any()) for mask in masks)


def load(path: Path, event_id: int | None, max_events: int | None) -> Scene:
    """Take the event asked for, or else the one that most telescopes saw."""
    best: Any = None
    with EventSource(path, max_events=max_events, focal_length_choice="EQUIVALENT") as source:
        for event in source:
            if event_id is not None and event.index.event_id != event_id:
                continue
            if with_images(event) > (with_images(best) if best is not None else 0):
                best = deepcopy(event)
        subarray = source.subarray
    if best is None:
        wanted = "event" if event_id is None else f"event {event_id}"
        raise NothingToShowError(f"no {wanted} with DL1 images in it; were they written (--write-images)?")
    pointing = best.monitoring.pointing
    return Scene(
        name=path.name,
        event=best,
        subarray=subarray,
        pointing=sky(pointing.array_altitude, pointing.array_azimuth),
        reconstructed=reconstructed_shower(best),
        true=true_shower(best),
        truth=truth(best),
    )


def sky(alt: u.Quantity, az: u.Quantity) -> SkyCoord:
    """A direction in horizontal coordinates."""
    return SkyCoord(alt=alt, az=az, frame=AltAz())


def reconstructed_shower(event: Any) -> Shower | None:
    """The first valid stereo reconstruction."""
    for geometry in event.dl2.stereo.geometry.values():
        if geometry.is_valid:
            core = (geometry.core_x.to_value(u.m), geometry.core_y.to_value(u.m))
            return Shower(sky(geometry.alt, geometry.az), core)
    return None


def true_shower(event: Any) -> Shower | None:
    """What was simulated, None for data and for calibration events."""
    shower = event.simulation.shower if event.simulation is not None else None
    if shower is None or not np.isfinite(shower.alt):
        return None
    return Shower(sky(shower.alt, shower.az), (shower.core_x.to_value(u.m), shower.core_y.to_value(u.m)))


def truth(event: Any) -> str:
    """The simulated primary in words."""
    shower = event.simulation.shower if event.simulation is not None else None
    if shower is None or not np.isfinite(shower.energy):
        return "no simulated shower"
    primary = int(shower.shower_primary_id)
    return f"simulated {PRIMARIES.get(primary, f'primary {primary}')}, {shower.energy.to_value(u.TeV):.3g} TeV"


def draw_camera(axes: Axes, scene: Scene, tel_id: int) -> None:
    """One camera: charge, pixels that survive cleaning, ellipse."""
    tel = scene.event.dl1.tel[tel_id]
    description = scene.subarray.tel[tel_id]
    frame = TelescopeFrame(telescope_pointing=scene.pointing)
    geometry = description.camera.geometry.transform_to(frame)
    display = CameraDisplay(geometry, ax=axes, image=tel.image, cmap="viridis", show_frame=False)
    display.add_colorbar(ax=axes, shrink=0.8, label="charge [p.e.]")
    hillas = scene.hillas(tel_id)
    if tel.image_mask is not None:
        display.highlight_pixels(tel.image_mask, color="white", linewidth=0.6, alpha=0.8)
    charge = ""
    if hillas is not None:
        display.overlay_moments(hillas, color=RECONSTRUCTED, with_label=False, keep_old=False, lw=1.5, n_sigma=2)
        charge = f", {hillas.intensity:.0f} p.e."
    zoom(axes, geometry, tel.image_mask)
    axes.set_title(f"telescope {tel_id}, {description.camera.name}{charge}", fontsize=9)
    axes.set_xlabel("lon [deg]", fontsize=8)
    axes.set_ylabel("lat [deg]", fontsize=8)
    axes.tick_params(labelsize=7)


def zoom(axes: Axes, geometry: Any, mask: Any | None) -> None:
    """Show the part of the camera that has the image; all of it where cleaning left nothing."""
    if mask is None or not mask.any():
        return
    lon, lat = geometry.pix_x.to_value(u.deg)[mask], geometry.pix_y.to_value(u.deg)[mask]
    half = max(np.ptp(lon), np.ptp(lat)) / 2 + MARGIN_DEG
    for middle, limit in ((np.ptp(lon) / 2 + lon.min(), axes.set_xlim), (np.ptp(lat) / 2 + lat.min(), axes.set_ylim)):
        limit(middle - half, middle + half)
    axes.set_aspect("equal", adjustable="box")


def draw_array(axes: Axes, scene: Scene) -> None:
    """The array from above: who triggered, and where the shower's axis meets the ground."""
    subarray = scene.subarray
    triggered = {int(t) for t in scene.event.trigger.tels_with_trigger}
    for ids, colour, label in (
        ([t for t in subarray.tel if t not in triggered], "0.8", "not triggered"),
        (sorted(triggered), "#0072b2", "triggered"),
    ):
        places = [subarray.positions[t].to_value(u.m) for t in ids]
        sizes = [subarray.tel[t].optics.mirror_area.to_value(u.m**2) / 3 + 15 for t in ids]
        if ids:
            x, y, _ = np.transpose(places)
            axes.scatter(-y, x, s=sizes, color=colour, label=f"{label} ({len(ids)})", zorder=2)
    for tel_id in sorted(triggered):
        x, y, _ = subarray.positions[tel_id].to_value(u.m)
        axes.annotate(str(tel_id), (-y, x), xytext=(4, 4), textcoords="offset points", fontsize=7)
    for shower, marker, colour, label in showers(scene):
        x, y = shower.core
        axes.plot(-y, x, marker, color=colour, ms=13, mew=2.2, label=f"{label} impact", ls="none", zorder=3)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(title="Array from above", xlabel="East [m]", ylabel="North [m]")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, markerscale=0.5, loc="best")


def showers(scene: Scene) -> list[tuple[Shower, str, str, str]]:
    """Shower, marker, colour and name of what is known."""
    pairs = (
        (scene.true, "x", TRUE, "true"),
        (scene.reconstructed, "+", RECONSTRUCTED, "reconstructed"),
    )
    return [(shower, marker, colour, label) for shower, marker, colour, label in pairs if shower is not None]


def draw_sky(axes: Axes, scene: Scene) -> None:
    """All images in one sky: the long axes of the ellipses cross where the shower comes from."""
    nominal = NominalFrame(origin=scene.pointing)
    reach = 0.5
    for tel_id in scene.telescopes:
        hillas = scene.hillas(tel_id)
        if hillas is None:
            continue
        lon, lat = hillas.fov_lon.to_value(u.deg), hillas.fov_lat.to_value(u.deg)
        along = np.array([np.cos(hillas.psi), np.sin(hillas.psi)])
        ends = np.array([[lon, lat]]) + np.array([[-6.0], [6.0]]) * along
        axes.plot(*ends.T, color="0.7", lw=0.7, zorder=1)
        length = hillas.length.to_value(u.deg)
        core = np.array([[lon, lat]]) + np.array([[-length], [length]]) * along
        axes.plot(*core.T, lw=3, alpha=0.8, zorder=2)
        axes.annotate(str(tel_id), core[1], xytext=(3, 3), textcoords="offset points", fontsize=7)
        reach = max(reach, abs(lon) + 2 * length, abs(lat) + 2 * length)
    for shower, marker, colour, label in showers(scene):
        place = shower.direction.transform_to(nominal)
        lon, lat = place.fov_lon.to_value(u.deg), place.fov_lat.to_value(u.deg)
        axes.plot(lon, lat, marker, color=colour, ms=14, mew=2.2, label=f"{label} direction", ls="none", zorder=3)
        reach = max(reach, abs(lon) * 1.3, abs(lat) * 1.3)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set(title="Sky", xlabel="lon from pointing [deg]", ylabel="lat from pointing [deg]")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, markerscale=0.6, loc="best")


def caption(scene: Scene) -> str:
    """How far the reconstruction is from the truth, and what was drawn."""
    shown = min(CAMERAS, len(scene.telescopes))
    text = f"The {shown} brightest of {len(scene.telescopes)} images"
    text += "; white: pixels kept by cleaning, red: Hillas ellipse at 2 sigma."
    if scene.reconstructed is None:
        return text + " No valid stereo reconstruction."
    if scene.true is None:
        return text
    angle = scene.reconstructed.direction.separation(scene.true.direction).to_value(u.deg)
    ground = float(np.hypot(*(np.array(scene.reconstructed.core) - np.array(scene.true.core))))
    return text + f" Reconstructed minus true: {angle:.2f} deg, {ground:.0f} m. One event is no resolution."


def draw(scene: Scene) -> Figure:
    """Six cameras, the array, the sky."""
    figure = Figure(figsize=(15, 8.6), layout="constrained")
    grid = figure.add_gridspec(2, 4, width_ratios=(1, 1, 1, 1.15))
    for index, tel_id in enumerate(scene.telescopes[:CAMERAS]):
        draw_camera(figure.add_subplot(grid[index // 3, index % 3]), scene, tel_id)
    draw_array(figure.add_subplot(grid[0, 3]), scene)
    draw_sky(figure.add_subplot(grid[1, 3]), scene)
    index = scene.event.index
    figure.suptitle(f"{scene.name}: run {index.obs_id}, event {index.event_id} ({scene.truth})", fontsize=12)
    figure.supxlabel(caption(scene), fontsize=9)
    return figure


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="event-display", description="Draw one event of a ctapipe file.")
    parser.add_argument("input", type=Path, help="DL1 or DL2 file with images (HDF5)")
    parser.add_argument("--output", type=Path, required=True, help="picture to write (PNG)")
    parser.add_argument("--event-id", type=int, help="which event (the one seen by most telescopes)")
    parser.add_argument("--max-events", type=int, help="look no further than this many events")
    parser.add_argument("--dpi", type=int, default=110, help="dots per inch (%(default)s)")
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (ctapipe {version('ctapipe')})")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Draw one event."""
    given = arguments().parse_args(argv)
    # Directions here are relative to the array's own sky: no time or place on Earth is needed.
    warnings.filterwarnings("ignore", category=MissingFrameAttributeWarning)
    try:
        scene = load(given.input, given.event_id, given.max_events)
    except (OSError, ValueError, NothingToShowError) as error:
        print(f"event-display: {given.input.name}: {error}", file=sys.stderr)
        return 1
    draw(scene).savefig(given.output, dpi=given.dpi)
    return 0


if __name__ == "__main__":
    sys.exit(main())
