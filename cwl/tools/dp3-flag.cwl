#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: "dp3-flag: interference flagged by AOFlagger"
doc: |
  Flags interference with a strategy of AOFlagger, within DP3. The input is read in place; visibilities are copied once,
  to the output.

  Measured on 38 stations, 60 times and 8 channels (23 MB): 0.8 s of processor time, 108 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 768
    outdirMin: 96
    tmpdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      DP3:
        version: ["6.6.0"]
        specs: [https://pypi.org/project/dp3/]
      AOFlagger:
        version: ["3.5.post0"]
        specs: [https://doi.org/10.1051/0004-6361/201220293]

baseCommand: DP3

arguments:
  - steps=[flag]
  - flag.type=aoflagger
  - flag.strategy=/usr/share/aoflagger/strategies/$(inputs.strategy).lua
  - {prefix: msout=, separate: false, valueFrom: $(inputs.ms.basename)}
  - {prefix: numthreads=, separate: false, valueFrom: $(runtime.cores)}

inputs:
  ms:
    type: Directory
    label: Measurement Set
    inputBinding: {prefix: msin=, separate: false}
  strategy:
    type: string
    default: lofar-default
    label: Strategy
    doc: One of those that come with AOFlagger, such as lofar-default, generic-default or lofar-lba-wideband.

stdout: $(inputs.ms.basename).flagged.log

outputs:
  flagged:
    type: Directory
    label: Measurement Set with flags
    outputBinding: {glob: $(inputs.ms.basename)}
  log:
    type: stdout
    label: Flagged fractions, as DP3 reports them
