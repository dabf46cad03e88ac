#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "corsika-check: is a CORSIKA run whole?"
doc: |
  Says whether a CORSIKA run is whole, from up to three witnesses: the DAT file (every block read,
  RUNE there, its count right), the input card (NSHOW, RUNNR, EVTNR, PRMPAR, ERANGE) and the log
  (END OF RUN, number of generated events). What is not given is not heard.

  Fails, with each problem on a line of stderr, when the run is not whole; with report_only it
  succeeds and the report says so.

  Measured on 10 showers (0.14 MB): 0.2 s of processor time, 29 MiB of memory. One event is in
  memory at a time, at twice its size in the file.

requirements:
  DockerRequirement:
    dockerPull: gridcwl/dirac-corsika:0.1.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  ResourceRequirement:
    coresMin: 1
    ramMin: 256
    outdirMin: 1
hints:
  SoftwareRequirement:
    packages:
      corsikaio:
        version: ["0.6.1"]
        specs: [https://pypi.org/project/corsikaio/]

baseCommand: corsika-check

inputs:
  data:
    type: File
    label: DAT or CER file of the run
    doc: Plain, or compressed by gzip or zstd.
    inputBinding: {position: 1}
  card:
    type: File?
    label: Input card of the run
    inputBinding: {prefix: --card}
  log:
    type: File?
    label: Standard output of the run
    doc: Plain or compressed by gzip.
    inputBinding: {prefix: --log}
  thinned:
    type: boolean
    default: false
    label: The run was made with THIN
    inputBinding: {prefix: --thinned}
  report_only:
    type: boolean
    default: false
    label: Succeed for a broken run too
    inputBinding: {prefix: --report-only}

arguments:
  - {prefix: --report, valueFrom: $(inputs.data.basename).check.json}

outputs:
  report:
    type: File
    format: edam:format_3464
    label: Verdict, problems, and the findings of each check (JSON)
    outputBinding: {glob: $(inputs.data.basename).check.json}
