#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "SKA-Mid continuum: pointings to a mosaic"
doc: |
  Simulates pointings of SKA-Mid, splits each by frequency, calibrates and images the parts, per channel and as one, and
  adds the pointings to a mosaic, whose sources are compared with the sky that was simulated.

  The simulated dishes have no primary beam, and the mosaic corrects for none (`dish` 0).

requirements:
  InlineJavascriptRequirement: {}
  ScatterFeatureRequirement: {}
  StepInputExpressionRequirement: {}
  SubworkflowFeatureRequirement: {}

inputs:
  directions:
    type: string[]
    label: Centres of the pointings
  telescope:
    type:
      type: enum
      symbols: [skamid-aa2, skamid-aa4]
    default: skamid-aa2
    label: Stage of SKA-Mid
  skymodel:
    type: File
    label: Sky model (DP3's text format)
  parts:
    type: int
    default: 2
    label: Parts along frequency
  times:
    type: int
    default: 15
    label: Number of integrations of 8 s
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
    default: 10.0
    label: Width of a Gaussian taper, arcsec
  max_uv:
    type: float
    default: 30000.0
    label: Longest baseline, wavelengths
  dish:
    type: float
    default: 0.0
    label: Diameter of the dishes, m; 0 for no primary beam

steps:
  pointing:
    label: A pointing
    run: ska-mid-pointing.cwl
    scatter: direction
    in:
      direction: directions
      name: {valueFrom: '$("ska" + inputs.direction.replace(/[^0-9a-z]+/gi, "-"))'}
      telescope: telescope
      skymodel: skymodel
      parts: parts
      times: times
      pixels: pixels
      pixel: pixel
      taper: taper
      max_uv: max_uv
    out: [image, channel_images, page, quality]
  add:
    label: The mosaic
    run: ../tools/mosaic-images.cwl
    in:
      images: pointing/image
      dish: dish
    out: [mosaic, picture]
  find:
    label: Sources
    run: ../tools/find-sources.cwl
    in:
      image: add/mosaic
    out: [sources]
  compare:
    label: Fluxes beside the truth
    run: ../tools/compare-sources.cwl
    in:
      sources: find/sources
      image: add/mosaic
      skymodel: skymodel
    out: [table, picture]

outputs:
  mosaic:
    type: File
    label: The mosaic (FITS)
    outputSource: add/mosaic
  picture:
    type: File
    label: The mosaic drawn (PNG)
    outputSource: add/picture
  fluxes:
    type: File
    label: Fluxes and offsets (JSON)
    outputSource: compare/table
  marked:
    type: File
    label: The mosaic with the sources that were simulated (PNG)
    outputSource: compare/picture
  pointings:
    type: File[]
    label: Image of each pointing (FITS)
    outputSource: pointing/image
  channel_images:
    type:
      type: array
      items: {type: array, items: File}
    label: Image of each part of each pointing (FITS)
    outputSource: pointing/channel_images
  pages:
    type: File[]
    label: How good each pointing is (HTML)
    outputSource: pointing/page
  quality:
    type: File[]
    label: The numbers of each pointing (JSON)
    outputSource: pointing/quality
