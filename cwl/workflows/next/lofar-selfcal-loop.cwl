#!/usr/bin/env cwl-runner
cwlVersion: v1.3.0-dev1
class: Workflow
label: "Self-calibration, as many rounds as wanted"
doc: |
  Repeats rounds of self-calibration: each takes the sources of the last image as its sky model. A loop is part of the
  coming CWL v1.3: run it with --enable-dev. In CWL v1.2 lofar-imaging has two rounds, one after the other.

requirements:
  InlineJavascriptRequirement: {}
  StepInputExpressionRequirement: {}
  SubworkflowFeatureRequirement: {}

inputs:
  ms:
    type: Directory
    label: Measurement Set
  skymodel:
    type: File
    label: Sky model of the first round (DP3's text format)
  rounds:
    type: int
    default: 2
    label: Number of rounds
  taper:
    type: float?
    label: Width of a Gaussian taper, arcsec
  max_uv:
    type: float?
    label: Longest baseline, wavelengths

steps:
  round:
    label: A round
    run:
      class: Workflow
      inputs:
        number: int
        rounds: int
        ms: Directory
        skymodel: File
        taper: float?
        max_uv: float?
      steps:
        calibrate:
          run: ../lofar-selfcal.cwl
          in:
            ms: ms
            skymodel: skymodel
            taper: taper
            max_uv: max_uv
          out: [image, solutions, found, model]
        count:
          run:
            class: ExpressionTool
            inputs: {number: int}
            outputs: {next: int}
            expression: "${ return {next: inputs.number + 1}; }"
          in: {number: number}
          out: [next]
      outputs:
        next: {type: int, outputSource: count/next}
        image: {type: File, outputSource: calibrate/image}
        solutions: {type: File, outputSource: calibrate/solutions}
        found: {type: File, outputSource: calibrate/found}
        model: {type: File, outputSource: calibrate/model}
    when: $(inputs.number < inputs.rounds)
    loop:
      number: next
      skymodel: model
    outputMethod: last_iteration
    in:
      number: {default: 0}
      rounds: rounds
      ms: ms
      skymodel: skymodel
      taper: taper
      max_uv: max_uv
    out: [image, solutions, found, next, model]

outputs:
  image:
    type: File?
    label: Image of the last round (FITS)
    outputSource: round/image
  solutions:
    type: File?
    label: Solutions of the last round (h5parm)
    outputSource: round/solutions
  found:
    type: File?
    label: Sources of the last image (JSON)
    outputSource: round/found
