cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {numbers: "int[]"}
outputs:
  files: {type: "File[]", outputSource: print/out}
steps:
  print:
    run: echo.cwl
    scatter: number
    in: {number: numbers}
    out: [out]
