#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "ctapipe-process: DL0 to DL2"
doc: |
  Takes events of one file from lower to higher data levels with ctapipe: calibration, charge
  extraction, image cleaning and parametrisation (DL1), geometric shower reconstruction (DL2).

  Without a configuration ctapipe's own defaults hold. Energy and particle kind need trained
  models, which a configuration can name.

  Measured on single-event files of 4 LST and 15 to 39 MST: 4.5 s of processor time, of which 2 s
  to start, and 465 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 768
    outdirMin: 256
    tmpdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/ctapipe:0.32.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      ctapipe:
        version: ["0.32.0"]
        specs: [https://doi.org/10.5281/zenodo.3372210, https://pypi.org/project/ctapipe/]

baseCommand: ctapipe-process

inputs:
  events:
    type: File
    label: Events
    doc: A sim_telarray file (DL0), plain or compressed by gzip or zstd, or a ctapipe file of DL0, DL1 or DL2 (HDF5).
    inputBinding: {prefix: --input}
  config:
    type:
      - "null"
      - type: array
        items: File
        inputBinding: {prefix: --config}
    label: Configuration
    doc: ctapipe configuration files (YAML, JSON, TOML); what a later one says outweighs an earlier one.
  focal_length_choice:
    type:
      - type: enum
        symbols: [EFFECTIVE, EQUIVALENT]
    default: EFFECTIVE
    label: Focal length of sim_telarray's cameras
    doc: |
      EFFECTIVE takes aberration into account. Older sim_telarray files do not have it: they stop
      with an error that says so, and need EQUIVALENT.
    inputBinding: {prefix: --SimTelEventSource.focal_length_choice=, separate: false}
  max_events:
    type: int?
    label: Events to read at most
    inputBinding: {prefix: --max-events}
  allowed_tels:
    type:
      - "null"
      - type: array
        items: int
        inputBinding: {prefix: --allowed-tels}
    label: Telescopes to use
    doc: Their ids; all when not given.
  write_images:
    type: boolean
    default: true
    label: Keep DL1 images
    doc: Images are most of the output; event-display needs them, training does not.
    inputBinding: {prefix: --write-images}
  write_parameters:
    type: boolean
    default: true
    label: Keep image parameters
    inputBinding: {prefix: --write-parameters}
  write_showers:
    type: boolean
    default: true
    label: Reconstruct showers and keep them (DL2)
    inputBinding: {prefix: --write-showers}

arguments:
  - {prefix: --output, valueFrom: $(inputs.events.nameroot).dl2.h5}
  - {prefix: --provenance-log, valueFrom: $(inputs.events.nameroot).provenance.json}
  - --no-progress

outputs:
  dl2:
    type: File
    format: edam:format_3590
    label: Processed events (HDF5)
    outputBinding: {glob: $(inputs.events.nameroot).dl2.h5}
  provenance:
    type: File
    format: edam:format_3464
    label: What ctapipe did with what (JSON)
    outputBinding: {glob: $(inputs.events.nameroot).provenance.json}
