#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "find-sources: sources of an image"
doc: |
  Finds and fits the sources of an image with PyBDSF. Their Gaussians are a sky model in turn, of one patch.

  Measured on 1024 x 1024 pixels with 5 sources: 5.1 s of processor time, 251 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 768
    outdirMin: 8
    tmpdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      PyBDSF:
        version: ["1.14.1"]
        specs: [https://pypi.org/project/bdsf/]

baseCommand: find-sources

inputs:
  image:
    type: File
    label: Image (FITS)
    inputBinding: {position: 1}
  threshold:
    type: float
    default: 7.0
    label: Least peak, of the noise
    inputBinding: {prefix: --threshold}
  box:
    type: int
    default: 150
    label: Side of the box that noise is measured in, pixels
    inputBinding: {prefix: --box}

arguments:
  - {prefix: --catalogue, valueFrom: $(inputs.image.nameroot).sources.fits}
  - {prefix: --skymodel, valueFrom: $(inputs.image.nameroot).skymodel}
  - {prefix: --output, valueFrom: $(inputs.image.nameroot).sources.json}

outputs:
  skymodel:
    type: File
    label: The sources as a sky model (DP3's text format)
    outputBinding: {glob: $(inputs.image.nameroot).skymodel}
  catalogue:
    type: File
    label: PyBDSF's catalogue (FITS)
    outputBinding: {glob: $(inputs.image.nameroot).sources.fits}
  sources:
    type: File
    format: edam:format_3464
    label: The sources (JSON)
    outputBinding: {glob: $(inputs.image.nameroot).sources.json}
