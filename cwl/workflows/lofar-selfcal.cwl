#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "A round of self-calibration"
doc: |
  Solves for gains against a sky model, applies them and images. The sources of the image are a sky model in turn, for the
  next round.

requirements:
  MultipleInputFeatureRequirement: {}
  StepInputExpressionRequirement: {}

inputs:
  ms:
    type: Directory
    label: Measurement Set
  skymodel:
    type: File
    label: Sky model (DP3's text format)
  solution_interval:
    type: int
    default: 1
    label: Times of a solution
  name:
    type: string
    default: image
    label: Beginning of the names of solutions and images
  pixels:
    type: int
    default: 1024
    label: Width and height, pixels
  pixel:
    type: float
    default: 3.0
    label: Width of a pixel, arcsec
  taper:
    type: float?
    label: Width of a Gaussian taper, arcsec
  max_uv:
    type: float?
    label: Longest baseline, wavelengths

steps:
  solve:
    label: Solutions
    run: ../tools/dp3-ddecal.cwl
    in:
      ms: ms
      skymodel: skymodel
      solution_interval: solution_interval
      beginning: name
      name: {valueFrom: $(inputs.beginning).h5}
    out: [solutions]
  apply:
    label: Calibrated visibilities
    run: ../tools/dp3-applycal.cwl
    in:
      ms: ms
      solutions: solve/solutions
    out: [calibrated]
  deconvolve:
    label: Image
    run: ../tools/wsclean.cwl
    in:
      ms: {source: [apply/calibrated], linkMerge: merge_flattened}
      name: name
      pixels: pixels
      pixel: pixel
      taper: taper
      max_uv: max_uv
    out: [image, residual]
  find:
    label: Sources
    run: ../tools/find-sources.cwl
    in:
      image: deconvolve/image
    out: [sources, skymodel]

outputs:
  solutions:
    type: File
    label: Solutions (h5parm)
    outputSource: solve/solutions
  calibrated:
    type: Directory
    label: Calibrated Measurement Set
    outputSource: apply/calibrated
  image:
    type: File
    label: Image (FITS)
    outputSource: deconvolve/image
  residual:
    type: File
    label: What deconvolution left (FITS)
    outputSource: deconvolve/residual
  found:
    type: File
    label: Sources of the image (JSON)
    outputSource: find/sources
  model:
    type: File
    label: Sources of the image as a sky model (DP3's text format)
    outputSource: find/skymodel
