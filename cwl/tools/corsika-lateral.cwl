#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "corsika-lateral: particles at ground as a picture"
doc: |
  Draws the lateral distribution and the momenta of the particles of a CORSIKA run where they hit
  the ground, for each kind of particle, averaged over the run's showers.

  Measured on 10 showers (0.14 MB): 1 s of processor time, 80 MiB of memory. All particles are in
  memory at once, at twelve times their size in the file.

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

baseCommand: [corsika-plot, lateral]

inputs:
  data:
    type: File
    label: DAT file of particles
    inputBinding: {position: 1}
  thinned:
    type: boolean
    default: false
    label: The run was made with THIN
    inputBinding: {prefix: --thinned}

arguments:
  - {prefix: --output, valueFrom: $(inputs.data.basename).lateral.png}

outputs:
  picture:
    type: File
    format: edam:format_3603
    label: Lateral distribution and momenta (PNG)
    outputBinding: {glob: $(inputs.data.basename).lateral.png}
