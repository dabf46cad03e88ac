#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "simpipe-shower: showers in the place of CORSIKA"
doc: |
  Simulates the Cherenkov light of air showers from a CORSIKA input card, with published
  parametrisations: NOT CORSIKA, and of no scientific validity. The run file is of the kind that
  CORSIKA's IACT extension writes.

  The card's primary may be a gamma ray, an electron, a positron or a proton; its seeds decide every
  number.

  Measured on 250 gamma rays of 0.08 to 20 TeV, 5 uses each, 4 telescopes: 1.1 s of processor time, 40 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 256
    outdirMin: 512
hints:
  DockerRequirement:
    dockerPull: gridcwl/simpipe-parametrised:0.1.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      simpipe-parametrised:
        version: ["0.1.0"]
        specs: [https://pypi.org/project/eventio/]

baseCommand: simpipe-shower

inputs:
  card:
    type: File
    label: CORSIKA input card
    inputBinding: {position: 1}

arguments:
  - {prefix: --output, valueFrom: $(inputs.card.nameroot).iact}

outputs:
  run:
    type: File
    label: Photon bunches at the telescopes (eventio)
    outputBinding: {glob: $(inputs.card.nameroot).iact}
