#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "CORSIKA production: runs, each checked"
doc: |
  N runs of CORSIKA with seeds that are derived and recorded; each run is checked, and one that is not
  whole fails the production with what is wrong. CORSIKA is licensed: its image is made from your own
  tarball (scripts/corsika-image).

requirements:
  ScatterFeatureRequirement: {}

inputs:
  primary:
    type:
      type: enum
      symbols: [gamma, electron, proton, helium, iron]
    label: Primary particle
  array:
    type: File
    label: Description of the array (YAML)
  name:
    type: string
    default: run
    label: Beginning of the cards' names
  seed:
    type: int
    default: 1
    label: Seed of the production
  first_run:
    type: int
    default: 1
    label: Number of the first run
  runs:
    type: int
    default: 1
    label: Number of runs
  showers:
    type: int
    default: 100
    label: Showers in each run
  energy:
    type: float[]
    default: [0.05, 50.0]
    label: Least and greatest energy, TeV

steps:
  cards:
    label: Input cards
    run: ../tools/corsika-cards.cwl
    in:
      name: name
      primary: primary
      array: array
      seed: seed
      first_run: first_run
      runs: runs
      showers: showers
      energy: energy
    out: [cards, record]
  simulate:
    label: Air showers
    run: ../tools/corsika.cwl
    scatter: card
    in:
      card: cards/cards
    out: [log, data, run]
  check:
    label: Is it whole?
    run: ../tools/corsika-check.cwl
    scatter: [data, card, log]
    scatterMethod: dotproduct
    in:
      data: simulate/data
      card: cards/cards
      log: simulate/log
    out: [report]

outputs:
  record:
    type: File
    label: The runs and their seeds (JSON)
    outputSource: cards/record
  data:
    type: File[]
    label: DAT files of particles
    outputSource: simulate/data
  light:
    type:
      - type: array
        items: ["null", File]
    label: Photon bunches at the telescopes, where CORSIKA has its IACT extension
    outputSource: simulate/run
  logs:
    type: File[]
    label: Messages of CORSIKA
    outputSource: simulate/log
  reports:
    type: File[]
    label: Verdicts, one for each run
    outputSource: check/report
