#!/usr/bin/env python3
"""Process one toy shower from waveform to image parameters, when the image is built.

It fails the build where ctapipe does not work, and it leaves behind what Numba compiles on first
use: without that each job would compile for 25 s before its first event.
"""

import sys

import astropy.units as u
import numpy as np
from ctapipe.calib import CameraCalibrator
from ctapipe.containers import ArrayEventContainer
from ctapipe.coordinates import CameraFrame
from ctapipe.image import ImageProcessor, toymodel
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
from ctapipe.tools import apply_models, merge, process  # noqa: F401  imported to be compiled

TELESCOPE = 1
SAMPLES = 40
PULSE_SAMPLE = 20
FOCAL_LENGTH = 28 * u.m
REFERENCE = np.exp(-0.5 * ((np.arange(100) - 50) / 10) ** 2)  # a pulse, 0.1 ns a step


def camera() -> CameraDescription:
    """A square camera of square pixels."""
    geometry = CameraGeometry.make_rectangular(40, 40, (-1, 1), (-1, 1))
    geometry.frame = CameraFrame(focal_length=FOCAL_LENGTH)
    return CameraDescription(
        name="toy",
        geometry=geometry,
        readout=CameraReadout(
            name="toy",
            sampling_rate=1 * u.GHz,
            reference_pulse_shape=REFERENCE[np.newaxis],
            reference_pulse_sample_width=0.1 * u.ns,
            n_channels=1,
            n_pixels=geometry.n_pixels,
            n_samples=SAMPLES,
        ),
    )


def subarray() -> SubarrayDescription:
    """One telescope of LST's size."""
    optics = OpticsDescription(
        name="toy",
        size_type=SizeType.LST,
        reflector_shape=ReflectorShape.PARABOLIC,
        n_mirrors=1,
        n_mirror_tiles=1,
        mirror_area=386 * u.m**2,
        equivalent_focal_length=FOCAL_LENGTH,
        effective_focal_length=FOCAL_LENGTH,
    )
    return SubarrayDescription(
        name="toy",
        tel_positions={TELESCOPE: np.zeros(3) * u.m},
        tel_descriptions={TELESCOPE: TelescopeDescription(name="toy", optics=optics, camera=camera())},
        reference_location=None,
    )


def event(array: SubarrayDescription) -> ArrayEventContainer:
    """One shower image, spread over time as a pulse in each pixel."""
    shower = toymodel.SkewedGaussian(
        x=0.1 * u.m, y=0.1 * u.m, width=0.05 * u.m, length=0.2 * u.m, psi=30 * u.deg, skewness=0.3
    )
    generator = np.random.default_rng(0)
    geometry = array.tel[TELESCOPE].camera.geometry
    image, _, _ = shower.generate_image(geometry, intensity=2000, nsb_level_pe=1, rng=generator)
    pulse = np.exp(-0.5 * ((np.arange(SAMPLES) - PULSE_SAMPLE) / 2) ** 2)
    made = ArrayEventContainer()
    made.index.event_id = 1
    made.trigger.tels_with_trigger = np.array([TELESCOPE])
    made.dl0.tel[TELESCOPE].waveform = (image[:, np.newaxis] * pulse / pulse.sum()).astype(np.float32)[np.newaxis]
    made.dl0.tel[TELESCOPE].selected_gain_channel = np.zeros(geometry.n_pixels, dtype=np.int8)
    made.monitoring.tel[TELESCOPE].camera.coefficients.outlier_mask = np.zeros((1, geometry.n_pixels), dtype=bool)
    return made


def main() -> int:
    """Calibrate, extract, clean and parametrise."""
    array = subarray()
    shower = event(array)
    CameraCalibrator(subarray=array)(shower)
    ImageProcessor(subarray=array)(shower)
    intensity = shower.dl1.tel[TELESCOPE].parameters.hillas.intensity
    print(f"self-test: a toy image of {intensity:.0f} photoelectrons, parametrised", file=sys.stderr)
    return 0 if intensity > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
