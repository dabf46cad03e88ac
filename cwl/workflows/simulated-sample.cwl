#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "A sample of simulated events, from cards to DL2"
doc: |
  Events of one primary in N runs: cards with seeds of their own, showers, camera images, image
  parameters and reconstructed directions, and all runs in one file. Energies and particle kinds need
  models: see train-models.

requirements:
  InlineJavascriptRequirement: {}
  MultipleInputFeatureRequirement: {}
  ScatterFeatureRequirement: {}
  StepInputExpressionRequirement: {}
  SubworkflowFeatureRequirement: {}

inputs:
  name:
    type: string
    label: Name of the sample, and of its files
  generator:
    type:
      type: enum
      symbols: [corsika, parametrised]
    default: parametrised
    label: Which programs simulate
  array:
    type: File
    label: Description of the array (YAML)
    doc: For the cards of both generators, and for the parametrised telescopes.
  telescopes:
    type: File?
    label: sim_telarray's configuration
    doc: Only for `corsika`, and that of your image where none is given.
  primary:
    type:
      type: enum
      symbols: [gamma, electron, proton, helium, iron]
    label: Primary particle
  seed:
    type: int
    default: 1
    label: Seed of the production
  first_run:
    type: int
    default: 1
    label: Number of the first run
    doc: Samples of one primary are different events only if no run is in two of them.
  runs:
    type: int
    default: 1
    label: Number of runs
  showers:
    type: int
    label: Showers in each run
  energy:
    type: float[]
    default: [0.08, 20.0]
    label: Least and greatest energy, TeV
  slope:
    type: float
    default: -1.7
    label: Power law of the energies
  viewcone:
    type: float
    default: 0.0
    label: Half angle of the cone of directions, degrees
  uses:
    type: int
    default: 5
    label: Uses of each shower
  radius:
    type: float
    default: 400.0
    label: Radius of the circle of core positions, m
  config:
    type: File[]
    label: Configuration of ctapipe-process

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
      slope: slope
      viewcone: viewcone
      uses: uses
      radius: radius
    out: [cards, record]
  simulate:
    label: Showers and images
    run: simulate.cwl
    scatter: card
    in:
      generator: generator
      card: cards/cards
      array: array
      telescopes: telescopes
      seed: seed
    out: [events]
  process:
    label: Image parameters and directions
    run: ../tools/ctapipe-process.cwl
    scatter: events
    in:
      events: simulate/events
      config: config
      write_images: {default: false}
    out: [dl2]
  merge:
    label: All runs in one, where there are several
    run: ../tools/ctapipe-merge.cwl
    when: $(inputs.files.length > 1)
    in:
      files: process/dl2
      name: name
      output_name: {valueFrom: $(inputs.name).dl2.h5}
    out: [merged]
  single:
    label: The only run
    run:
      class: ExpressionTool
      inputs:
        files: File[]
      expression: "${ return {file: inputs.files[0]}; }"
      outputs:
        file: File
    when: $(inputs.files.length === 1)
    in:
      files: process/dl2
    out: [file]

outputs:
  dl2:
    type: File
    label: Showers with directions, DL2 (HDF5)
    outputSource: [merge/merged, single/file]
    pickValue: the_only_non_null
  record:
    type: File
    label: The runs and their seeds (JSON)
    outputSource: cards/record
