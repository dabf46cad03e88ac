#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "sim_telarray: telescopes"
doc: |
  Runs sim_telarray on a run file of CORSIKA's IACT extension. sim_telarray comes with the licensed
  CORSIKA package of CTAO and H.E.S.S.: name an image of your own that has it, with your site's and
  telescopes' configuration in it, by --overrides or by tagging it as below.

  Time and memory are those of your array: nothing was measured here, 1 core and 2 GiB are what
  CTAO's arrays commonly take.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 2048
    outdirMin: 4096
hints:
  DockerRequirement:
    dockerPull: gridcwl/sim_telarray:local  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      sim_telarray:
        version: ["2024"]
        specs: [https://doi.org/10.1016/j.astropartphys.2008.07.009]

baseCommand: sim_telarray

inputs:
  run:
    type: File
    label: Run file of CORSIKA's IACT extension (eventio)
    inputBinding: {position: 10}
  config:
    type: File?
    label: Configuration of array and telescopes
    doc: Without one sim_telarray takes what the image was built with.
    inputBinding: {prefix: -c, position: 1}
  include:
    type:
      - "null"
      - type: array
        items: Directory
        inputBinding: {prefix: -I, separate: false}
    label: Folders where the configuration's own files are
    inputBinding: {position: 2}
  settings:
    type:
      - "null"
      - type: array
        items: string
        inputBinding: {prefix: -C}
    label: Settings that outweigh the configuration, KEY=VALUE
    inputBinding: {position: 3}
  seed:
    type: int
    default: 1
    label: Seed of night sky, noise and detection

arguments:
  - {prefix: -C, valueFrom: output_file=$(inputs.run.nameroot).simtel.zst, position: 4}
  - {prefix: -C, valueFrom: random_seed=$(inputs.seed), position: 5}

outputs:
  events:
    type: File
    label: Triggered events, DL0 (sim_telarray)
    outputBinding: {glob: $(inputs.run.nameroot).simtel.zst}
