#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "losoto-plot: solutions drawn"
doc: |
  Draws a table of solutions over time with LoSoTo, all stations in one picture for each direction and frequency. LoSoTo
  opens its file to write, so the tool has a copy of it.

  Measured on 38 stations and 60 times (120 kB): 3.3 s of processor time, 154 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 512
    outdirMin: 16
    tmpdirMin: 64
  InitialWorkDirRequirement:
    listing:
      - entry: $(inputs.solutions)
        writable: true
      - entryname: plot.parset
        entry: |
          [plot]
          operation = PLOT
          soltab = [sol000/$(inputs.table)]
          axesInPlot = [time]
          axisInTable = ant
          axisInCol = pol
          minmax = [$(inputs.least),$(inputs.greatest)]
          refAnt = $(inputs.reference)
          prefix = $(inputs.table)-
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      LoSoTo:
        version: ["2.7.1"]
        specs: [https://pypi.org/project/losoto/]

baseCommand: losoto

inputs:
  solutions:
    type: File
    label: Solutions (h5parm)
  table:
    type: string
    default: phase000
    label: Table of solutions
  least:
    type: float
    default: -3.15
    label: Least value drawn
  greatest:
    type: float
    default: 3.15
    label: Greatest value drawn
  reference:
    type: string
    default: ""
    label: Station that phases are relative to
    doc: The first one in DP3's solutions where none is given.

arguments:
  - {position: 1, valueFrom: $(inputs.solutions.basename)}
  - {position: 2, valueFrom: plot.parset}

outputs:
  plots:
    type: File[]
    format: edam:format_3603
    label: Pictures (PNG)
    outputBinding: {glob: $(inputs.table)-*.png}
