#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "A LOFAR observation, from stations to fluxes"
doc: |
  The whole of it: simulates subbands of an observation, flags, averages, calibrates and images them, and compares the
  image with the sky that was simulated. Every subband is a job of its own until they are concatenated.

requirements:
  MultipleInputFeatureRequirement: {}
  SubworkflowFeatureRequirement: {}

inputs:
  frequencies:
    type: double[]
    label: First frequency of each subband, MHz
  skymodel:
    type: File
    label: Sky model (DP3's text format)
  direction:
    type: string
    label: Centre of the field
  times:
    type: int
    default: 60
    label: Number of integrations of 8 s
  seed:
    type: int
    default: 1
    label: Seed of gains, noise and interference
  sefd:
    type: float
    default: 3000.0
    label: System equivalent flux density of a station, Jy
  selfcal:
    type: boolean
    default: false
    label: Self-calibrate
  pixels:
    type: int
    default: 1024
    label: Width and height, pixels
  pixel:
    type: float
    default: 3.0
    label: Width of a pixel, arcsec
  taper:
    type: float
    default: 8.0
    label: Width of a Gaussian taper, arcsec
  max_uv:
    type: float
    default: 25000.0
    label: Longest baseline, wavelengths

steps:
  observe:
    label: The observation
    run: lofar-simulation.cwl
    in:
      frequencies: frequencies
      skymodel: skymodel
      direction: direction
      times: times
      seed: seed
      sefd: sefd
    out: [subbands, truth]
  calibrate:
    label: Calibrated image
    run: lofar-imaging.cwl
    in:
      subbands: observe/subbands
      skymodel: skymodel
      selfcal: selfcal
      pixels: pixels
      pixel: pixel
      taper: taper
      max_uv: max_uv
    out: [before, image, residual, found, sources, solutions, calibrated, flags, flag_pictures]
  judge:
    label: How good it is
    run: radio-quality.cwl
    in:
      title: {default: "A LOFAR observation, from stations to fluxes"}
      image: calibrate/image
      residual: calibrate/residual
      before: calibrate/before
      found: calibrate/found
      skymodel: skymodel
      ms: {source: [calibrate/calibrated], linkMerge: merge_flattened}
      truth: observe/truth
      solutions: {source: [calibrate/solutions], linkMerge: merge_flattened}
      flags: calibrate/flags
      pictures: calibrate/flag_pictures
      taper: taper
      max_uv: max_uv
    out: [page, quality, fluxes, noise, summary, images, plots]

outputs:
  page:
    type: File
    label: The page (HTML)
    outputSource: judge/page
  quality:
    type: File
    label: Its numbers (JSON)
    outputSource: judge/quality
  images:
    type: File
    label: The images before and after calibration, and the residual (PNG)
    outputSource: judge/images
  plots:
    type: File[]
    label: Solutions over time (PNG)
    outputSource: judge/plots
  found:
    type: File
    label: Sources that were found (JSON)
    outputSource: calibrate/found
  fluxes:
    type: File
    label: Fluxes and offsets (JSON)
    outputSource: judge/fluxes
  noise:
    type: File
    label: Noise, expected and measured (JSON)
    outputSource: judge/noise
  summary:
    type: File[]
    label: Summary of the solutions (JSON)
    outputSource: judge/summary
  before:
    type: File
    label: Image before calibration (FITS)
    outputSource: calibrate/before
  image:
    type: File
    label: Calibrated image (FITS)
    outputSource: calibrate/image
  residual:
    type: File
    label: What deconvolution left of it (FITS)
    outputSource: calibrate/residual
  sources:
    type: File
    label: Sources of the image as a sky model (DP3's text format)
    outputSource: calibrate/sources
  solutions:
    type: File
    label: Solutions (h5parm)
    outputSource: calibrate/solutions
  calibrated:
    type: Directory
    label: Calibrated Measurement Set
    outputSource: calibrate/calibrated
  subbands:
    type: Directory[]
    label: Measurement Sets of the observation, one for each subband
    outputSource: observe/subbands
  truth:
    type: File[]
    label: What was added to each (JSON)
    outputSource: observe/truth
  flags:
    type: File[]
    label: Flagged fractions of each subband (JSON)
    outputSource: calibrate/flags
  flag_pictures:
    type: File[]
    label: Flagged fractions of each subband drawn (PNG)
    outputSource: calibrate/flag_pictures
