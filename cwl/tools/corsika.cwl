#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "corsika: air showers"
doc: |
  Runs CORSIKA on an input card. CORSIKA is licensed, so no image of it can be had: make
  gridcwl/corsika:local from your own tarball with scripts/corsika-image, once on each machine.

  CORSIKA ends with exit code 0 whatever happens. corsika-check tells whether the run is whole.

  Time and memory are those of your card: nothing was measured here, 1 core and 1 GiB are what a run
  without thinning commonly takes.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 1024
    outdirMin: 4096
hints:
  DockerRequirement:
    dockerPull: gridcwl/corsika:local  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      corsika:
        version: ["7"]
        specs: [https://www.iap.kit.edu/corsika/]

baseCommand: corsika
stdin: $(inputs.card.path)
stdout: $(inputs.card.nameroot).log

inputs:
  card:
    type: File
    label: Input card
    doc: Its TELFIL, if any, has to end with .iact, .zst or .gz; its files go to ./ (DIRECT).

outputs:
  log:
    type: stdout
    label: Standard output of the run
  data:
    type: File
    label: DAT file of particles
    outputBinding: {glob: "DAT[0-9][0-9][0-9][0-9][0-9][0-9]"}
  run:
    type: File?
    label: Photon bunches at the telescopes (eventio)
    doc: Where the program has the IACT extension and the card a TELFIL.
    outputBinding: {glob: ["*.iact", "*.zst", "*.gz"]}
  profiles:
    type: File[]
    label: Longitudinal profiles
    outputBinding: {glob: "*.long"}
