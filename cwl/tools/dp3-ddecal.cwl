#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "dp3-ddecal: calibration solutions from a sky model"
doc: |
  Solves for gains of stations against a sky model, with DP3's DDECal. The Measurement Set is read in place and nothing of
  it is written. A sky model of one patch gives direction-independent solutions; each further patch is a direction.

  Measured on 38 stations, 60 times and 16 channels (38 MB), 5 sources: 6.9 s of processor time, 88 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 768
    outdirMin: 16
    tmpdirMin: 64
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
  - steps=[solve]
  - msout=
  - solve.type=ddecal
  - solve.propagatesolutions=true
  - {prefix: solve.h5parm=, separate: false, valueFrom: $(inputs.name)}
  - {prefix: numthreads=, separate: false, valueFrom: $(runtime.cores)}

inputs:
  ms:
    type: Directory
    label: Measurement Set
    inputBinding: {prefix: msin=, separate: false}
  skymodel:
    type: File
    label: Sky model (DP3's text format)
    inputBinding: {prefix: solve.sourcedb=, separate: false}
  mode:
    type:
      type: enum
      symbols: [diagonal, diagonalphase, scalar, scalarphase, fulljones]
    default: diagonal
    label: What is solved for
    inputBinding: {prefix: solve.mode=, separate: false}
  solution_interval:
    type: int
    default: 1
    label: Times of a solution
    inputBinding: {prefix: solve.solint=, separate: false}
  solution_channels:
    type: int
    default: 0
    label: Channels of a solution; 0 for all
    inputBinding: {prefix: solve.nchan=, separate: false}
  max_iterations:
    type: int
    default: 50
    label: Iterations at most
    inputBinding: {prefix: solve.maxiter=, separate: false}
  min_uv:
    type: float
    default: 0.0
    label: Shortest baseline to solve with, wavelengths
    inputBinding: {prefix: solve.uvlambdamin=, separate: false}
  name:
    type: string
    default: solutions.h5
    label: Name of the solutions

outputs:
  solutions:
    type: File
    format: edam:format_3590
    label: Solutions (h5parm)
    outputBinding: {glob: $(inputs.name)}
