#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "A CORSIKA run checked and drawn"
doc: |
  Checks that a CORSIKA run is whole and draws its showers: at ground, and in the air where the run
  has .long files. A broken run fails, and the check's stderr reports what is wrong with it.

requirements:
  ScatterFeatureRequirement: {}

inputs:
  data:
    type: File
    label: DAT file of particles
  card:
    type: File?
    label: Input card of the run
  log:
    type: File?
    label: Standard output of the run
    doc: Plain or compressed by gzip.
  profiles:
    type: File[]
    default: []
    label: .long files of the run
    doc: None, or as many as there are.
  thinned:
    type: boolean
    default: false
    label: The run was made with THIN

steps:
  check:
    label: Is it whole?
    run: ../tools/corsika-check.cwl
    in:
      data: data
      card: card
      log: log
      thinned: thinned
    out: [report]
  draw_ground:
    label: Lateral distribution
    run: ../tools/corsika-lateral.cwl
    in:
      data: data
      thinned: thinned
    out: [picture]
  draw_air:
    label: Longitudinal distribution
    run: ../tools/corsika-longitudinal.cwl
    scatter: profile
    in:
      profile: profiles
    out: [picture]

outputs:
  report:
    type: File
    label: Verdict and what it rests on
    outputSource: check/report
  lateral:
    type: File
    label: Lateral distribution and momenta at ground
    outputSource: draw_ground/picture
  longitudinal:
    type: File[]
    label: Longitudinal distributions
    outputSource: draw_air/picture
