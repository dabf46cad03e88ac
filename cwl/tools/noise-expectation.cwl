#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "noise-expectation: the noise that an image has to have"
doc: |
  Compares the noise of a residual image with that of the radiometer's equation, for the noise that was simulated and the
  weights of the image. The Measurement Set is read in place.

  Measured on 38 stations, 60 times and 16 channels (38 MB): 0.7 s of processor time, 148 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 768
    outdirMin: 4
    tmpdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      python-casacore:
        version: ["3.8.1"]
        specs: [https://pypi.org/project/python-casacore/]

baseCommand: noise-expectation

inputs:
  ms:
    type: Directory[]
    label: Measurement Set that the image was made of
    inputBinding: {position: -1}
  residual:
    type: File
    label: Its residual image (FITS)
    inputBinding: {prefix: --image}
  truth:
    type: File[]
    label: What was added to the simulation (JSON)
    inputBinding: {prefix: --truth}
  taper:
    type: float?
    label: The image's taper, arcsec
    inputBinding: {prefix: --taper}
  max_uv:
    type: float?
    label: The image's longest baseline, wavelengths
    inputBinding: {prefix: --max-uv}

arguments:
  - {prefix: --output, valueFrom: $(inputs.residual.nameroot).noise.json}

outputs:
  noise:
    type: File
    format: edam:format_3464
    label: Noise, expected and measured (JSON)
    outputBinding: {glob: $(inputs.residual.nameroot).noise.json}
