#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "ctapipe-optimize-event-selection: cuts"
doc: |
  Finds the cuts in gammaness and direction, in bins of reconstructed energy, with which an instrument
  does best. The events should not be those that the IRF is made of.

  Measured on 3000 events: 3 s of processor time, 290 MiB of memory.

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

baseCommand: ctapipe-optimize-event-selection

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

arguments:
  - {prefix: --output, valueFrom: cuts.fits}
  - {prefix: --provenance-log, valueFrom: ctapipe-optimize-event-selection.provenance.json}

outputs:
  cuts:
    type: File
    label: The cuts (FITS)
    outputBinding: {glob: cuts.fits}
  provenance:
    type: File
    format: edam:format_3464
    label: What ctapipe did with what (JSON)
    outputBinding: {glob: ctapipe-optimize-event-selection.provenance.json}
