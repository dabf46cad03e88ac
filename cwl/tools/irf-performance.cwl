#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "irf-performance: what an IRF says of the instrument"
doc: |
  Draws effective area, energy dispersion, angular resolution and sensitivity of an IRF that
  ctapipe-compute-irf made, and tells their values at 1 TeV.

  Measured on 100 kB: 4.3 s of processor time, 200 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 512
    outdirMin: 16
hints:
  DockerRequirement:
    dockerPull: gridcwl/gammapy:2.1  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      gammapy:
        version: ["2.1"]
        specs: [https://doi.org/10.5281/zenodo.4701488, https://pypi.org/project/gammapy/]

baseCommand: irf-performance

inputs:
  irf:
    type: File
    label: The IRF (FITS)
    inputBinding: {position: 1}
  benchmarks:
    type: File
    label: ctapipe's benchmarks of it (FITS)
    inputBinding: {prefix: --benchmarks}
  notice:
    type: string
    default: ""
    label: What each product has to say
    inputBinding: {prefix: --notice}

outputs:
  numbers:
    type: File
    format: edam:format_3464
    label: Values at 1 TeV (JSON)
    outputBinding: {glob: performance.json}
  effective_area:
    type: File
    format: edam:format_3603
    label: Effective area (PNG)
    outputBinding: {glob: effective-area.png}
  energy_dispersion:
    type: File
    format: edam:format_3603
    label: Energy dispersion (PNG)
    outputBinding: {glob: energy-dispersion.png}
  angular_resolution:
    type: File
    format: edam:format_3603
    label: Angular resolution (PNG)
    outputBinding: {glob: angular-resolution.png}
  sensitivity:
    type: File
    format: edam:format_3603
    label: Sensitivity (PNG)
    outputBinding: {glob: sensitivity.png}
