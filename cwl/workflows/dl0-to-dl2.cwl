#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "CTA telescope data from DL0 to DL2"
doc: |
  Processes sim_telarray files to reconstructed showers, each file by itself and all at once, and
  draws an event of each.

  The files stay apart unless `merge` is set. That is a choice and no default, because one ctapipe
  file holds one array: files that were simulated for different arrays (the layout, or as little as
  a camera's version, differs) cannot become one, and merging them fails with ctapipe's own words,
  "Subarrays do not match". Set it for runs of one production.

requirements:
  ScatterFeatureRequirement: {}

inputs:
  events:
    type: File[]
    label: Events (DL0)
    doc: sim_telarray files, plain or compressed by gzip or zstd.
  config:
    type:
      - "null"
      - type: array
        items: File
    label: Configuration
    doc: ctapipe configuration files, for all of the events.
  focal_length_choice:
    type:
      - type: enum
        symbols: [EFFECTIVE, EQUIVALENT]
    default: EFFECTIVE
    label: Focal length of the cameras
    doc: Older sim_telarray files have no effective focal length; they need EQUIVALENT.
  merge:
    type: boolean
    default: false
    label: Merge all into one file
    doc: Only for files of the same array, and with observation ids of their own.
  pictures:
    type: boolean
    default: true
    label: Draw an event of each file
    doc: The event that most telescopes saw; fails for a file where nothing triggered.

steps:
  process:
    label: DL0 to DL2
    run: ../tools/ctapipe-process.cwl
    scatter: events
    in:
      events: events
      config: config
      focal_length_choice: focal_length_choice
    out: [dl2, provenance]
  draw:
    label: A picture of each file
    run: ../tools/ctapipe-event-display.cwl
    scatter: events
    when: $(inputs.pictures)
    in:
      events: process/dl2
      pictures: pictures
    out: [picture]
  combine:
    label: All in one
    run: ../tools/ctapipe-merge.cwl
    when: $(inputs.merge)
    in:
      files: process/dl2
      merge: merge
    out: [merged]

outputs:
  dl2:
    type: File[]
    label: Reconstructed showers, one file for each of the events
    outputSource: process/dl2
  merged:
    type: File?
    label: All of them in one, where that was asked for
    outputSource: combine/merged
  event_pictures:
    type: File[]
    label: Event displays
    outputSource: [draw/picture]
    linkMerge: merge_flattened
    pickValue: all_non_null
  provenance:
    type: File[]
    label: What ctapipe did with what
    outputSource: process/provenance
