#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "Showers and telescopes, parametrised"
doc: |
  One run with published parametrisations in the place of CORSIKA and sim_telarray: NOT CORSIKA, NOT
  sim_telarray, and of no scientific validity. The files are of the same kinds, but for the images,
  which are DL1 and not DL0.

inputs:
  card:
    type: File
    label: CORSIKA input card
  array:
    type: File
    label: Description of the array (YAML)
  seed:
    type: int
    default: 1
    label: Seed of night sky, noise and detection

steps:
  shower:
    label: Air showers
    run: ../tools/parametrised-shower.cwl
    in:
      card: card
    out: [run]
  image:
    label: Camera images
    run: ../tools/parametrised-telescopes.cwl
    in:
      run: shower/run
      array: array
      seed: seed
    out: [dl1]

outputs:
  events:
    type: File
    label: Triggered events, DL1 (HDF5)
    outputSource: image/dl1
