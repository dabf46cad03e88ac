#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "corsika-longitudinal: showers in the air as a picture"
doc: |
  Draws the longitudinal distribution of the showers of a CORSIKA run: each shower, their mean, and
  the depth of maximum that CORSIKA fitted. Needs the .long file that CORSIKA writes with LONGI T.

  Measured on 5 showers of 105 steps: 0.7 s of processor time, 76 MiB of memory.

requirements:
  DockerRequirement:
    dockerPull: gridcwl/dirac-corsika:0.1.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  ResourceRequirement:
    coresMin: 1
    ramMin: 256
    outdirMin: 4
hints:
  SoftwareRequirement:
    packages:
      corsikaio:
        version: ["0.6.1"]
        specs: [https://pypi.org/project/corsikaio/]

baseCommand: [corsika-plot, longitudinal]

inputs:
  profile:
    type: File
    label: The run's .long file
    inputBinding: {position: 1}

arguments:
  - {prefix: --output, valueFrom: $(inputs.profile.basename).png}

outputs:
  picture:
    type: File
    format: edam:format_3603
    label: Longitudinal distribution (PNG)
    outputBinding: {glob: $(inputs.profile.basename).png}
