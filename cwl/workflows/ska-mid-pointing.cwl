#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "A simulated pointing of SKA-Mid, calibrated and imaged"
doc: |
  Simulates an observation of one direction, splits it by frequency, calibrates each part by itself, and images all of
  them, per channel and as one (multi-frequency synthesis). How good the image is stands on a page of its own.

  The image has to hold all strong sources: sidelobes of those outside of it are far above the noise of the receivers.

requirements:
  InlineJavascriptRequirement: {}
  MultipleInputFeatureRequirement: {}
  ScatterFeatureRequirement: {}
  StepInputExpressionRequirement: {}
  SubworkflowFeatureRequirement: {}

inputs:
  direction:
    type: string
    label: Centre of the field
  name:
    type: string
    label: Name of the pointing
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
  channels:
    type: int
    default: 4
    label: Channels of a part
  times:
    type: int
    default: 15
    label: Number of integrations of 8 s
  seed:
    type: int
    default: 1
    label: Seed of gains and noise
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

steps:
  simulate:
    label: Dishes, times and channels
    run: ../tools/simms.cwl
    in:
      telescope: telescope
      pointing: name
      name: {valueFrom: $(inputs.pointing).ms}
      direction: direction
      start: {default: "2024-03-14T15:00:00"}
      times: times
      frequency: {default: 1360.0}
      channel_width: {default: 10000.0}
      parts: parts
      each: channels
      channels: {valueFrom: $(inputs.parts * inputs.each)}
    out: [ms]
  predict:
    label: Visibilities of the sky model
    run: ../tools/dp3-predict.cwl
    in:
      ms: simulate/ms
      skymodel: skymodel
    out: [predicted]
  corrupt:
    label: Gains and noise
    run: ../tools/ms-corrupt.cwl
    in:
      ms: predict/predicted
      seed: seed
      sefd: {default: 400.0}
      interference: {default: 0.0}
    out: [corrupted, truth]
  ranges:
    label: Parts along frequency
    run:
      class: ExpressionTool
      inputs:
        parts: int
        channels: int
      expression: |
        ${
          var first = [];
          for (var part = 0; part < inputs.parts; part++) first.push(part * inputs.channels);
          return {first: first};
        }
      outputs:
        first: int[]
    in:
      parts: parts
      channels: channels
    out: [first]
  split:
    label: Each part
    run: ../tools/dp3-split.cwl
    scatter: first_channel
    in:
      ms: corrupt/corrupted
      first_channel: ranges/first
      channels: channels
      pointing: name
      name: {valueFrom: $(inputs.pointing)-$(inputs.first_channel).ms}
    out: [split]
  solve:
    label: Solutions
    run: ../tools/dp3-ddecal.cwl
    scatter: ms
    in:
      ms: split/split
      skymodel: skymodel
      solution_interval: {default: 1}
      name: {valueFrom: $(inputs.ms.basename).h5}
    out: [solutions]
  apply:
    label: Calibrated visibilities
    run: ../tools/dp3-applycal.cwl
    scatter: [ms, solutions]
    scatterMethod: dotproduct
    in:
      ms: split/split
      solutions: solve/solutions
    out: [calibrated]
  deconvolve:
    label: Images
    run: ../tools/wsclean.cwl
    in:
      ms: apply/calibrated
      name: name
      pixels: pixels
      pixel: pixel
      taper: taper
      max_uv: max_uv
      channels_out: parts
      join_channels: {default: true}
    out: [image, residual, channel_images]
  dirty:
    label: Image before calibration
    run: ../tools/wsclean.cwl
    in:
      ms: split/split
      pointing: name
      name: {valueFrom: $(inputs.pointing)-before}
      pixels: pixels
      pixel: pixel
      taper: taper
      max_uv: max_uv
      iterations: {default: 0}
      channels_out: parts
    out: [image]
  find:
    label: Sources
    run: ../tools/find-sources.cwl
    in:
      image: deconvolve/image
    out: [sources]
  judge:
    label: How good it is
    run: radio-quality.cwl
    in:
      title: name
      image: deconvolve/image
      residual: deconvolve/residual
      before: dirty/image
      found: find/sources
      skymodel: skymodel
      ms: apply/calibrated
      truth: {source: [corrupt/truth], linkMerge: merge_flattened}
      solutions: solve/solutions
      taper: taper
      max_uv: max_uv
    out: [page, quality]

outputs:
  image:
    type: File
    label: Image of all frequencies (FITS)
    outputSource: deconvolve/image
  channel_images:
    type: File[]
    label: Image of each part (FITS)
    outputSource: deconvolve/channel_images
  solutions:
    type: File[]
    label: Solutions of each part (h5parm)
    outputSource: solve/solutions
  page:
    type: File
    label: How good the image is (HTML)
    outputSource: judge/page
  quality:
    type: File
    label: Its numbers (JSON)
    outputSource: judge/quality
