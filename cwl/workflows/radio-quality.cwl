#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "How good a radio image is"
doc: |
  Compares the sources of an image with the sky model that was simulated, compares the residual noise with
  the radiometer's equation, draws and summarises the solutions, and writes one page with all of it.

requirements:
  MultipleInputFeatureRequirement: {}
  ScatterFeatureRequirement: {}

inputs:
  title:
    type: string
    default: Radio image
    label: Title of the page
  image:
    type: File
    label: Image (FITS)
  residual:
    type: File
    label: What deconvolution left (FITS)
  before:
    type: File?
    label: Image before calibration (FITS)
  found:
    type: File
    label: Sources that were found in it (JSON)
  skymodel:
    type: File
    label: Sky model that was simulated (DP3's text format)
  ms:
    type: Directory[]
    label: Measurement Sets that the image was made of
  truth:
    type: File[]
    label: What was added to the simulation (JSON)
  solutions:
    type: File[]
    default: []
    label: Solutions (h5parm)
  flags:
    type: File[]
    default: []
    label: Flagged fractions (JSON)
  pictures:
    type: File[]
    default: []
    label: More pictures for the page (PNG)
  taper:
    type: float?
    label: The image's taper, arcsec
  max_uv:
    type: float?
    label: The image's longest baseline, wavelengths

steps:
  compare:
    label: Fluxes beside the truth
    run: ../tools/compare-sources.cwl
    in:
      sources: found
      image: image
      skymodel: skymodel
      before: before
      residual: residual
    out: [table, picture]
  expect:
    label: Noise, expected and measured
    run: ../tools/noise-expectation.cwl
    in:
      ms: ms
      residual: residual
      truth: truth
      taper: taper
      max_uv: max_uv
    out: [noise]
  summarise:
    label: What the solutions are
    run: ../tools/h5parm-summary.cwl
    scatter: solutions
    in:
      solutions: solutions
    out: [summary, picture]
  report:
    label: The page
    run: ../tools/radio-report.cwl
    in:
      title: title
      sources: compare/table
      noise: expect/noise
      solutions: summarise/summary
      flags: flags
      pictures:
        source: [compare/picture, summarise/picture, pictures]
        linkMerge: merge_flattened
    out: [page, quality]

outputs:
  page:
    type: File
    label: The page (HTML)
    outputSource: report/page
  quality:
    type: File
    label: Its numbers (JSON)
    outputSource: report/quality
  fluxes:
    type: File
    label: Fluxes and offsets (JSON)
    outputSource: compare/table
  noise:
    type: File
    label: Noise, expected and measured (JSON)
    outputSource: expect/noise
  summary:
    type: File[]
    label: Summary of the solutions (JSON)
    outputSource: summarise/summary
  images:
    type: File
    label: The images before and after calibration, and the residual (PNG)
    outputSource: compare/picture
  plots:
    type: File[]
    label: Solutions over time (PNG)
    outputSource: summarise/picture
