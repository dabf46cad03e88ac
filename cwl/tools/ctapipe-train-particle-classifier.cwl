#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
$namespaces:
  edam: http://edamontology.org/
label: "ctapipe-train-particle-classifier: gamma rays from hadrons"
doc: |
  Trains a model for each type of telescope that tells gamma rays from background by the parameters of
  an image, on simulated gamma rays and protons of DL2. Where the energy is a feature, both files need
  it: see ctapipe-apply-models.

  Measured on 2.5 MB of gamma rays and 0.9 MB of protons, 50 trees: 4.6 s of processor time, 345 MiB of memory.

requirements:
  EnvVarRequirement:
    envDef:
      PYTHONHASHSEED: "0"  # the model is a pickle, with sets: equal training gives equal bytes
  ResourceRequirement:
    coresMin: 1
    ramMin: 768
    outdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/ctapipe:0.32.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      ctapipe:
        version: ["0.32.0"]
        specs: [https://doi.org/10.5281/zenodo.3372210, https://pypi.org/project/ctapipe/]

baseCommand: ctapipe-train-particle-classifier

inputs:
  config:
    type: File
    label: Configuration (YAML, JSON, TOML)
    inputBinding: {prefix: --config}
  gammas:
    type: File
    label: Simulated gamma rays, DL2 (HDF5)
    inputBinding: {prefix: --signal}
  background:
    type: File
    label: Simulated background, DL2 (HDF5)
    inputBinding: {prefix: --background}
  output_name:
    type: string
    default: classifier.pkl
    label: Name of the model
    inputBinding: {prefix: --output}

arguments:
  - {prefix: --cv-output, valueFrom: $(inputs.output_name).cv.h5}
  - {prefix: --provenance-log, valueFrom: ctapipe-train-particle-classifier.provenance.json}

outputs:
  model:
    type: File
    label: Trained model (pickle of scikit-learn)
    outputBinding: {glob: $(inputs.output_name)}
  cross_validation:
    type: File
    format: edam:format_3590
    label: How it did on events that it was not trained with (HDF5)
    outputBinding: {glob: $(inputs.output_name).cv.h5}
  provenance:
    type: File
    format: edam:format_3464
    label: What ctapipe did with what (JSON)
    outputBinding: {glob: ctapipe-train-particle-classifier.provenance.json}
