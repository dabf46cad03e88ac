#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "KM3NeT files summarised"
doc: |
  Summarises KM3NeT offline and DST files, of data or Monte Carlo, each by itself and all at once.

requirements:
  ScatterFeatureRequirement: {}

inputs:
  events:
    type: File[]
    label: Offline or DST files

steps:
  summarise:
    label: What is in it
    run: ../tools/km3net-summary.cwl
    scatter: events
    in:
      events: events
    out: [summary, picture]

outputs:
  summaries:
    type: File[]
    label: Summaries, one for each file
    outputSource: summarise/summary
  pictures:
    type: File[]
    label: Directions of the events, one picture for each file
    outputSource: summarise/picture
