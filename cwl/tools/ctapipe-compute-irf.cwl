#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "ctapipe-compute-irf: instrument response functions"
doc: |
  Makes instrument response functions (effective area, energy dispersion, point spread, background)
  from events of DL2 and cuts, in gamma-astro-data-formats; and benchmarks of them.

  The IRF has the effective areas of protons and electrons after that of gamma rays.

  Measured on 3000 events: 3.3 s of processor time, 290 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 512
    outdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/ctapipe:0.32.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      ctapipe:
        version: ["0.32.0"]
        specs: [https://doi.org/10.5281/zenodo.3372210, https://pypi.org/project/ctapipe/]

baseCommand: ctapipe-compute-irf

inputs:
  config:
    type: File
    label: Configuration (YAML, JSON, TOML)
    inputBinding: {prefix: --config}
  gammas:
    type: File
    label: Simulated gamma rays, DL2 (HDF5)
    inputBinding: {prefix: --gamma-file}
  protons:
    type: File?
    label: Simulated protons, DL2 (HDF5)
    inputBinding: {prefix: --proton-file}
  electrons:
    type: File?
    label: Simulated electrons, DL2 (HDF5)
    inputBinding: {prefix: --electron-file}
  cuts:
    type: File
    label: Cuts (FITS)
    inputBinding: {prefix: --cuts}
  spatial_selection_applied:
    type: boolean
    default: false
    label: IRF of a point source
    doc: With the cut in direction applied; without it, for the full enclosure, the IRF has a point spread function.
    inputBinding: {prefix: --spatial-selection-applied}

arguments:
  - {prefix: --output, valueFrom: irf.fits}
  - {prefix: --benchmark-output, valueFrom: benchmarks.fits}
  - {prefix: --provenance-log, valueFrom: ctapipe-compute-irf.provenance.json}

outputs:
  irf:
    type: File
    label: The IRF (FITS)
    outputBinding: {glob: irf.fits}
  benchmarks:
    type: File
    label: Energy bias, resolutions and sensitivity (FITS)
    outputBinding: {glob: benchmarks.fits}
  provenance:
    type: File
    format: edam:format_3464
    label: What ctapipe did with what (JSON)
    outputBinding: {glob: ctapipe-compute-irf.provenance.json}
