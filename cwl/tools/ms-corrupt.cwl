#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "ms-corrupt: gains, noise and interference"
doc: |
  Makes an observation of ideal visibilities: gains of stations whose phases drift, noise of receivers by the radiometer's
  equation, and interference. Gains depend on the seed and the station only, so all subbands of an observation share them.

  The Measurement Set is changed, so the tool has a copy of it.

  Measured on 38 stations, 60 times and 8 channels (23 MB): 0.3 s of processor time, 129 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 768
    outdirMin: 96
    tmpdirMin: 64
  InitialWorkDirRequirement:
    listing:
      - entry: $(inputs.ms)
        writable: true
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio-simulator:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      python-casacore:
        version: ["3.8.1"]
        specs: [https://pypi.org/project/python-casacore/]

baseCommand: ms-corrupt

inputs:
  ms:
    type: Directory
    label: Measurement Set of ideal visibilities
  seed:
    type: int
    default: 1
    label: Seed of gains, noise and interference
    inputBinding: {prefix: --seed}
  sefd:
    type: float
    default: 3000.0
    label: System equivalent flux density of a station, Jy
    inputBinding: {prefix: --sefd}
  phase_spread:
    type: float
    default: 2.0
    label: Phases of stations begin within this of 0, rad
    inputBinding: {prefix: --phase-spread}
  phase_drift:
    type: float
    default: 0.03
    label: Drift of phases from time to time, rad
    inputBinding: {prefix: --phase-drift}
  interference:
    type: float
    default: 0.05
    label: Fraction of times and channels with interference
    inputBinding: {prefix: --interference}

arguments:
  - {prefix: --truth, valueFrom: $(inputs.ms.basename).truth.json}
  - {position: 1, valueFrom: $(inputs.ms.basename)}

outputs:
  corrupted:
    type: Directory
    label: Measurement Set of the observation
    outputBinding: {glob: $(inputs.ms.basename)}
  truth:
    type: File
    format: edam:format_3464
    label: What was added (JSON)
    outputBinding: {glob: $(inputs.ms.basename).truth.json}
