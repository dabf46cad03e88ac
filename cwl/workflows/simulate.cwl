#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "Simulated telescope data, by a generator of your choice"
doc: |
  One run of showers seen by an array of telescopes. The generator is an input: `corsika` is licensed
  CORSIKA with sim_telarray, `parametrised` stands in for both, with the same input card and the same
  kinds of files, and has no scientific validity. Nothing else has to be given for one or the other.

requirements:
  InlineJavascriptRequirement: {}
  MultipleInputFeatureRequirement: {}
  SubworkflowFeatureRequirement: {}

inputs:
  generator:
    type:
      type: enum
      symbols: [corsika, parametrised]
    default: parametrised
    label: Which programs simulate
  card:
    type: File
    label: CORSIKA input card
  array:
    type: File
    label: Description of the array (YAML)
    doc: The parametrised telescopes are made of it; for CORSIKA the card has them.
  telescopes:
    type: File?
    label: sim_telarray's configuration
    doc: Only for `corsika`, and that of your image where none is given.
  seed:
    type: int
    default: 1
    label: Seed of night sky, noise and detection

steps:
  corsika:
    label: CORSIKA and sim_telarray
    run: simulate-corsika.cwl
    when: $(inputs.generator === "corsika")
    in:
      generator: generator
      card: card
      telescopes: telescopes
      seed: seed
    out: [events]
  parametrised:
    label: The parametrised stand-in
    run: simulate-parametrised.cwl
    when: $(inputs.generator === "parametrised")
    in:
      generator: generator
      card: card
      array: array
      seed: seed
    out: [events]

outputs:
  events:
    type: File
    label: Triggered events, DL0 (sim_telarray) or DL1 (HDF5)
    outputSource: [corsika/events, parametrised/events]
    pickValue: the_only_non_null
