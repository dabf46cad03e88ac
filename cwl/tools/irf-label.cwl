#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "irf-label: a notice in a FITS file"
doc: |
  Copies a FITS file and puts a sentence into the header of each of its parts, for IRFs that must not be
  taken for those of an instrument.

  Measured on 100 kB: 0.3 s of processor time, 40 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 256
    outdirMin: 16
hints:
  DockerRequirement:
    dockerPull: gridcwl/gammapy:2.1  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      gammapy:
        version: ["2.1"]
        specs: [https://doi.org/10.5281/zenodo.4701488, https://pypi.org/project/gammapy/]

baseCommand: irf-label

inputs:
  irf:
    type: File
    label: FITS file
    inputBinding: {position: 1}
  notice:
    type: string
    default: ""
    label: What each product has to say
    inputBinding: {prefix: --notice}
  output_name:
    type: string
    default: irf.fits
    label: Name of the copy
    inputBinding: {prefix: --output}

outputs:
  labelled:
    type: File
    label: The file with the notice (FITS)
    outputBinding: {glob: $(inputs.output_name)}
