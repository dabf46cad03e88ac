"""Parametrised air showers and telescopes: where licensed CORSIKA and sim_telarray stand in production.

A shower is a longitudinal profile of electrons, a spectrum and an angular distribution of their Cherenkov light, each
from a published parametrisation; no particle is tracked. A telescope is a mirror of some area and a camera of
hexagons. The files are of the same kinds as those of the real programs, so that everything behind them can be tried
without them.

    card -> simpipe-shower -> run file (eventio, as CORSIKA-IACT) -> simpipe-telescopes -> DL1 (HDF5, as ctapipe)
"""

__version__ = "0.1.0"

NOTICE = "Parametrised simulation: not CORSIKA, not sim_telarray, no scientific validity."
"""Every product carries this sentence."""


class SimpipeError(Exception):
    """A mistake in what the user gave; its text is one line that says what and where."""
