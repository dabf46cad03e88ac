#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: "dp3-predict: visibilities of a sky model"
doc: |
  Writes a Measurement Set whose visibilities are those of a sky model, with DP3. The input is read in place.

  Measured on 38 stations, 60 times and 8 channels (33 MB), 5 sources: 0.4 s of processor time, 87 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 512
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

baseCommand: DP3

arguments:
  - steps=[predict]
  - {prefix: msout=, separate: false, valueFrom: $(inputs.ms.basename)}
  - {prefix: numthreads=, separate: false, valueFrom: $(runtime.cores)}

inputs:
  ms:
    type: Directory
    label: Measurement Set
    inputBinding: {prefix: msin=, separate: false}
  skymodel:
    type: File
    label: Sky model (DP3's text format)
    inputBinding: {prefix: predict.sourcedb=, separate: false}
  beam:
    type: boolean
    default: false
    label: Apply the station beam
    doc: Needs a Measurement Set with the station's elements, which simulated ones lack.
    inputBinding: {prefix: predict.usebeammodel=, separate: false, valueFrom: $(self)}

outputs:
  predicted:
    type: Directory
    label: Measurement Set of the model
    outputBinding: {glob: $(inputs.ms.basename)}
