#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "Showers by CORSIKA, telescopes by sim_telarray"
doc: |
  One run with the licensed programs: CORSIKA with its IACT extension, a check that the run is whole,
  and sim_telarray. Both programs come from images that you build yourself; see the tools.

requirements:
  StepInputExpressionRequirement: {}

inputs:
  card:
    type: File
    label: CORSIKA input card
  telescopes:
    type: File?
    label: sim_telarray's configuration of array and telescopes
    doc: That of your image, where none is given.
  seed:
    type: int
    default: 1
    label: Seed of night sky, noise and detection

steps:
  shower:
    label: Air showers
    run: ../tools/corsika.cwl
    in:
      card: card
    out: [run, data, log]
  check:
    label: Is it whole?
    run: ../tools/corsika-check.cwl
    in:
      data: shower/data
      card: card
      log: shower/log
    out: [report]
  image:
    label: Camera images
    run: ../tools/sim_telarray.cwl
    in:
      # there only if CORSIKA has its IACT extension; sim_telarray refuses a run without it
      run: {source: shower/run, valueFrom: $(self)}
      config: telescopes
      seed: seed
    out: [events]

outputs:
  events:
    type: File
    label: Triggered events, DL0 (sim_telarray)
    outputSource: image/events
  log:
    type: File
    label: Messages of CORSIKA
    outputSource: shower/log
  report:
    type: File
    label: Verdict on CORSIKA's run (JSON)
    outputSource: check/report
