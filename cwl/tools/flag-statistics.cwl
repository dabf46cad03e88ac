#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "flag-statistics: what AOFlagger left"
doc: |
  Flagged fractions of a Measurement Set by station, channel, time and correlation, and the noise of each channel, as JSON
  and a picture. The Measurement Set is read in place.

  Measured on 38 stations, 60 times and 8 channels (23 MB): 1.1 s of processor time, 132 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 512
    outdirMin: 8
    tmpdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      python-casacore:
        version: ["3.8.1"]
        specs: [https://pypi.org/project/python-casacore/]

baseCommand: flag-statistics

inputs:
  ms:
    type: Directory
    label: Measurement Set with flags
    inputBinding: {position: 1}

arguments:
  - {prefix: --output, valueFrom: $(inputs.ms.basename).flags.json}
  - {prefix: --picture, valueFrom: $(inputs.ms.basename).flags.png}

outputs:
  statistics:
    type: File
    format: edam:format_3464
    label: Flagged fractions and noise (JSON)
    outputBinding: {glob: $(inputs.ms.basename).flags.json}
  picture:
    type: File
    format: edam:format_3603
    label: Flagged fractions drawn (PNG)
    outputBinding: {glob: $(inputs.ms.basename).flags.png}
