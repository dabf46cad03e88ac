#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "ctapipe-apply-models: energies and particle kinds for showers"
doc: |
  Applies trained models to reconstructed showers, image by image, and combines the images of each.

  Measured on 1 MB of events and two models: 4 s of processor time, 340 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 768
    outdirMin: 256
hints:
  DockerRequirement:
    dockerPull: gridcwl/ctapipe:0.32.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      ctapipe:
        version: ["0.32.0"]
        specs: [https://doi.org/10.5281/zenodo.3372210, https://pypi.org/project/ctapipe/]

baseCommand: ctapipe-apply-models

inputs:
  events:
    type: File
    label: Showers, DL2 (HDF5)
    inputBinding: {prefix: --input}
  models:
    type:
      type: array
      items: File
      inputBinding: {prefix: --reconstructor}
    label: Trained models
    doc: Applied in this order; a later one may use what an earlier one tells.
  drop_parameters:
    type: boolean
    default: false
    label: Leave image parameters out
    doc: Training needs them, cuts and IRFs do not.
    inputBinding: {prefix: --no-dl1-parameters}
  config:
    type: File?
    label: Configuration (YAML, JSON, TOML)
    inputBinding: {prefix: --config}

arguments:
  - {prefix: --output, valueFrom: $(inputs.events.basename)}
  - {prefix: --n-jobs, valueFrom: $(runtime.cores)}
  - --no-progress
  - {prefix: --provenance-log, valueFrom: ctapipe-apply-models.provenance.json}

outputs:
  dl2:
    type: File
    format: edam:format_3590
    label: The showers, with what the models tell (HDF5)
    outputBinding: {glob: $(inputs.events.basename)}
  provenance:
    type: File
    format: edam:format_3464
    label: What ctapipe did with what (JSON)
    outputBinding: {glob: ctapipe-apply-models.provenance.json}
