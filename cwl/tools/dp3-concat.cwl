#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: "dp3-concat: subbands as one Measurement Set"
doc: |
  Concatenates Measurement Sets along frequency with DP3. Inputs are read in place, through
  links in the working folder: DP3 takes a pattern of names, so these have to differ.

  Measured on 4 subbands of 38 stations, 60 times and 4 channels (60 MB): 0.5 s of processor time, 106 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 512
    outdirMin: 128
    tmpdirMin: 64
  InitialWorkDirRequirement:
    listing: $(inputs.subbands)
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      DP3:
        version: ["6.6.0"]
        specs: [https://pypi.org/project/dp3/]

baseCommand: DP3

arguments:
  - steps=[]
  - {prefix: msout=, separate: false, valueFrom: $(inputs.name)}
  - {prefix: numthreads=, separate: false, valueFrom: $(runtime.cores)}

inputs:
  subbands:
    type: Directory[]
    label: Measurement Sets
  pattern:
    type: string
    default: "*.ms"
    label: Pattern of their names
    inputBinding: {prefix: msin=, separate: false}
  name:
    type: string
    default: band.ms
    label: Name of the new Measurement Set

outputs:
  band:
    type: Directory
    label: Measurement Set of all frequencies
    outputBinding: {glob: $(inputs.name)}
