#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "h5parm-summary: what is in a table of solutions"
doc: |
  Summarises calibration solutions: axes, flagged fractions, and middle and scatter of each station's. Draws them over
  time, all stations in one panel.

  Measured on 38 stations and 60 times (120 kB): 0.9 s of processor time, 56 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 256
    outdirMin: 4
    tmpdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      LoSoTo:
        version: ["2.7.1"]
        specs: [https://pypi.org/project/losoto/]

baseCommand: h5parm-summary

inputs:
  solutions:
    type: File
    label: Solutions (h5parm)
    inputBinding: {position: 1}

arguments:
  - {prefix: --output, valueFrom: $(inputs.solutions.nameroot).json}
  - {prefix: --picture, valueFrom: $(inputs.solutions.nameroot).png}

outputs:
  summary:
    type: File
    format: edam:format_3464
    label: The summary (JSON)
    outputBinding: {glob: $(inputs.solutions.nameroot).json}
  picture:
    type: File
    format: edam:format_3603
    label: The solutions over time (PNG)
    outputBinding: {glob: $(inputs.solutions.nameroot).png}
