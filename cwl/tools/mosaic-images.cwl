#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "mosaic-images: pointings as one image"
doc: |
  Adds images of several pointings on a common grid. With the diameter of the dishes each is corrected for the primary
  beam of a uniformly lit dish, and weighted by it.

  Measured on 2 images of 1024 x 1024 pixels: 5.2 s of processor time, 381 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 768
    outdirMin: 32
    tmpdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      reproject:
        version: ["0.21.0"]
        specs: [https://pypi.org/project/reproject/]

baseCommand: mosaic-images

inputs:
  images:
    type: File[]
    label: Images (FITS)
    inputBinding: {position: 1}
  dish:
    type: float
    default: 0.0
    label: Diameter of the dishes, m; 0 for no primary beam
    inputBinding: {prefix: --dish}
  name:
    type: string
    default: mosaic
    label: Name of the mosaic

arguments:
  - {prefix: --output, valueFrom: $(inputs.name).fits}
  - {prefix: --picture, valueFrom: $(inputs.name)-picture.png}

outputs:
  mosaic:
    type: File
    label: The mosaic (FITS)
    outputBinding: {glob: $(inputs.name).fits}
  picture:
    type: File
    format: edam:format_3603
    label: The mosaic drawn (PNG)
    outputBinding: {glob: $(inputs.name)-picture.png}
