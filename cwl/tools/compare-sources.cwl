#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "compare-sources: found sources beside a sky model"
doc: |
  Compares the sources that were found in an image with those of the sky model that it was simulated with, at the image's
  frequency, and draws images with the model's sources marked.

  Measured on 3 images of 1024 x 1024 pixels: 2.0 s of processor time, 205 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 512
    outdirMin: 8
    tmpdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      LSMTool:
        version: ["1.9.0"]
        specs: [https://pypi.org/project/lsmtool/]

baseCommand: compare-sources

inputs:
  sources:
    type: File
    label: Sources that were found (JSON)
    inputBinding: {position: 1}
  image:
    type: File
    label: The image that they were found in (FITS)
    inputBinding: {prefix: --image}
  skymodel:
    type: File
    label: Sky model (DP3's text format)
    inputBinding: {prefix: --skymodel}
  before:
    type: File?
    label: An image before calibration (FITS)
    inputBinding: {prefix: --before}
  residual:
    type: File?
    label: What deconvolution left (FITS)
    inputBinding: {prefix: --residual}

arguments:
  - {prefix: --output, valueFrom: $(inputs.image.nameroot).fluxes.json}
  - {prefix: --picture, valueFrom: $(inputs.image.nameroot).png}

outputs:
  table:
    type: File
    format: edam:format_3464
    label: Fluxes and offsets (JSON)
    outputBinding: {glob: $(inputs.image.nameroot).fluxes.json}
  picture:
    type: File
    format: edam:format_3603
    label: The images (PNG)
    outputBinding: {glob: $(inputs.image.nameroot).png}
