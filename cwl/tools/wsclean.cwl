#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: "wsclean: an image"
doc: |
  Images Measurement Sets with WSClean; with several output channels also their sum (multi-frequency synthesis). Nothing
  is written to the Measurement Sets, which are read in place. Debian's WSClean has no EveryBeam: images are as the
  stations saw them, without correction for a primary beam.

  Measured on 38 stations, 60 times and 16 channels (38 MB), 1024 x 1024 pixels: 3.6 s of processor time, 186 MiB of
  memory; eight times as long with `multiscale`.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 768
    outdirMin: 64
    tmpdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      WSClean:
        version: ["3.6"]
        specs: [https://doi.org/10.1093/mnras/stu1368]

baseCommand: wsclean

arguments:
  - -no-update-model-required
  - {prefix: -j, valueFrom: $(runtime.cores)}
  - {prefix: -temp-dir, valueFrom: $(runtime.tmpdir)}
  - {prefix: -scale, valueFrom: $(inputs.pixel)asec}
  - {prefix: -size, valueFrom: $(inputs.pixels)}
  - $(inputs.pixels)
  - {position: 1, prefix: -weight, valueFrom: briggs}

inputs:
  ms:
    type: Directory[]
    label: Measurement Sets
    inputBinding: {position: 10}
  name:
    type: string
    default: image
    label: Beginning of the images' names
    inputBinding: {prefix: -name}
  pixels:
    type: int
    default: 1024
    label: Width and height, pixels
  pixel:
    type: float
    default: 3.0
    label: Width of a pixel, arcsec
  robust:
    type: float
    default: 0.0
    label: Robustness of Briggs' weights
    doc: From -2 (uniform) to 2 (natural).
    inputBinding: {position: 2}
  taper:
    type: float?
    label: Width of a Gaussian taper, arcsec
    inputBinding: {position: 3, prefix: -taper-gaussian}
  max_uv:
    type: float?
    label: Longest baseline, wavelengths
    inputBinding: {position: 3, prefix: -maxuv-l}
  iterations:
    type: int
    default: 20000
    label: Iterations of deconvolution at most; 0 for the dirty image
    inputBinding: {prefix: -niter}
  gain:
    type: float
    default: 0.8
    label: Gain of a major iteration
    inputBinding: {prefix: -mgain}
  multiscale:
    type: boolean
    default: false
    label: Deconvolve extended sources, too
    inputBinding: {prefix: -multiscale}
  auto_mask:
    type: float
    default: 4.0
    label: Least peak that is deconvolved, of the noise
    inputBinding: {prefix: -auto-mask}
  auto_threshold:
    type: float
    default: 1.5
    label: Deconvolve down to, of the noise
    inputBinding: {prefix: -auto-threshold}
  save_sources:
    type: boolean
    default: false
    label: Save the components
    inputBinding: {prefix: -save-source-list}
  channels_out:
    type: int
    default: 1
    label: Images along frequency
    inputBinding: {prefix: -channels-out}
  join_channels:
    type: boolean
    default: false
    label: Deconvolve the images along frequency together
    inputBinding: {prefix: -join-channels}

outputs:
  image:
    type: File
    label: Image of all frequencies (FITS)
    outputBinding: {glob: [$(inputs.name)-image.fits, $(inputs.name)-MFS-image.fits]}
  residual:
    type: File
    label: What deconvolution left (FITS); without any, the dirty image
    outputBinding:
      glob:
        - $(inputs.name)-residual.fits
        - $(inputs.name)-MFS-residual.fits
        - $(inputs.name)-dirty.fits
        - $(inputs.name)-MFS-dirty.fits
      outputEval: $(self[0])
  dirty:
    type: File
    label: The image before deconvolution (FITS)
    outputBinding: {glob: [$(inputs.name)-dirty.fits, $(inputs.name)-MFS-dirty.fits]}
  channel_images:
    type: File[]
    label: Images of each output channel (FITS)
    outputBinding: {glob: "$(inputs.name)-0*-image.fits"}
  sources:
    type: File?
    label: Deconvolved components (DP3's text format)
    outputBinding: {glob: $(inputs.name)-sources.txt}
