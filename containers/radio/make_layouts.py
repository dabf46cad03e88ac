#!/usr/bin/env python3
"""Layouts that simms lacks, written next to its own: LOFAR's Dutch HBA stations, and SKA-Mid AA4 by its full name.

    make_layouts.py FOLDER

Positions of LOFAR's stations are those of lofarantpos (ITRF). simms has SKA-Mid and its stages, but not SKA-Low.
"""

import sys
from pathlib import Path

import yaml
from lofarantpos.db import LofarAntennaDatabase


def lofar() -> dict[str, object]:
    """Dutch HBA stations: one ear of each core station, and the remote stations."""
    centres = LofarAntennaDatabase().phase_centres
    core = [name for name in centres if name.startswith("CS") and name.endswith("HBA0")]
    remote = [name for name in centres if name.startswith("RS") and name.endswith("HBA")]
    names = sorted(core + remote)
    return {
        "name": "lofar-hba",
        "info": "LOFAR, Dutch HBA stations (lofarantpos)",
        "coord_sys": "itrf",
        "centre": [6.8691, 52.9151, 50.0],
        "size": 30.75,
        "mount": "X-Y",
        "antnames": names,
        "antlocations": [[float(value) for value in centres[name]] for name in names],
    }


def ska_mid(folder: Path, stage: str, name: str) -> dict[str, object]:
    """A stage of SKA-Mid as a layout of its own."""
    whole = yaml.safe_load((folder / "skamid.geodetic.yaml").read_text("utf-8"))
    rows = [whole["antnames"].index(station) for station in whole["subarray"][stage]]
    columns = {key: [whole[key][row] for row in rows] for key in ("antnames", "antlocations", "size", "telescope_name")}
    return {"name": name, **{key: whole[key] for key in ("info", "centre", "coord_sys", "mount")}, **columns}


def main(folder: Path) -> None:
    """Write the layouts."""
    layouts = {"lofar-hba": lofar(), "skamid-aa4": ska_mid(folder, "aa4", "skamid-aa4")}
    for name, layout in layouts.items():
        text = yaml.safe_dump(layout, default_flow_style=None, sort_keys=False)
        (folder / f"{name}.geodetic.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
