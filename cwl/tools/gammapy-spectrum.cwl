#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "gammapy-spectrum: a spectrum measured with an IRF"
doc: |
  Simulates the spectrum of a source like the Crab nebula as an observatory with this IRF would measure
  it, fits a power law and draws both, with gammapy. Any IRF in gamma-astro-data-formats will do.

  Measured on the IRF of CTAO's northern array (345 kB): 4.4 s of processor time, 205 MiB of memory.

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

baseCommand: irf-spectrum

inputs:
  irf:
    type: File
    label: The IRF (FITS, plain or gzip)
    inputBinding: {position: 1}
  offset:
    type: float
    default: 0.5
    label: Of the source from the pointing, degrees
    inputBinding: {prefix: --offset}
  radius:
    type: float
    default: 0.2
    label: Of the on region, degrees
    inputBinding: {prefix: --radius}
  livetime:
    type: float
    default: 5.0
    label: Hours of observation
    inputBinding: {prefix: --livetime}
  seed:
    type: int
    default: 1
    label: Seed of the counts
    inputBinding: {prefix: --seed}
  notice:
    type: string
    default: ""
    label: What each product has to say
    inputBinding: {prefix: --notice}

outputs:
  numbers:
    type: File
    format: edam:format_3464
    label: What was fitted, beside what was put in (JSON)
    outputBinding: {glob: spectrum.json}
  picture:
    type: File
    format: edam:format_3603
    label: Flux points, fit and truth (PNG)
    outputBinding: {glob: spectrum.png}
