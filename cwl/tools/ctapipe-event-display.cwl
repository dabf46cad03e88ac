#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "event-display: one event as a picture"
doc: |
  Draws one event of a ctapipe file: the six brightest camera images with what cleaning kept and
  the Hillas ellipses, the array from above with the shower's impact, and the sky with the
  reconstructed direction. Where the file is simulated the truth is drawn beside it.

  Measured on events of up to 15 images: 7 s of processor time, 410 MiB of memory.

requirements:
  DockerRequirement:
    dockerPull: gridcwl/ctapipe:0.32.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  ResourceRequirement:
    coresMin: 1
    ramMin: 640
    outdirMin: 16
hints:
  SoftwareRequirement:
    packages:
      ctapipe:
        version: ["0.32.0"]
        specs: [https://doi.org/10.5281/zenodo.3372210, https://pypi.org/project/ctapipe/]

baseCommand: event-display

inputs:
  events:
    type: File
    label: Events with DL1 images (HDF5)
    inputBinding: {position: 1}
  event_id:
    type: int?
    label: Which event
    doc: The one that most telescopes saw, when not given.
    inputBinding: {prefix: --event-id}
  max_events:
    type: int?
    label: Look no further than this many events
    inputBinding: {prefix: --max-events}

arguments:
  - {prefix: --output, valueFrom: $(inputs.events.nameroot).event.png}

outputs:
  picture:
    type: File
    format: edam:format_3603
    label: The event (PNG)
    outputBinding: {glob: $(inputs.events.nameroot).event.png}
