#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "radio-report: a page on the quality of an image"
doc: |
  Writes one page, with all pictures in it: flagged fractions, solutions, noise, and fluxes beside the truth.

  Measured on 5 sources and 4 pictures: 0.1 s of processor time, 23 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 256
    outdirMin: 16
    tmpdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      LSMTool:
        version: ["1.9.0"]
        specs: [https://pypi.org/project/lsmtool/]

baseCommand: radio-report

inputs:
  title:
    type: string
    default: Radio image
    label: Title of the page
    inputBinding: {prefix: --title}
  sources:
    type: File
    label: Fluxes and offsets (JSON)
    inputBinding: {prefix: --sources}
  noise:
    type: File?
    label: Noise, expected and measured (JSON)
    inputBinding: {prefix: --noise}
  solutions:
    type: File[]
    default: []
    label: Summary of the solutions (JSON)
    inputBinding: {prefix: --solutions}
  flags:
    type: File[]
    default: []
    label: Flagged fractions (JSON)
    inputBinding: {prefix: --flags}
  pictures:
    type: File[]
    default: []
    label: Pictures (PNG)
    inputBinding: {prefix: --pictures}

arguments:
  - {prefix: --page, valueFrom: quality.html}
  - {prefix: --output, valueFrom: quality.json}

outputs:
  page:
    type: File
    label: The page (HTML)
    outputBinding: {glob: quality.html}
  quality:
    type: File
    format: edam:format_3464
    label: Its numbers (JSON)
    outputBinding: {glob: quality.json}
