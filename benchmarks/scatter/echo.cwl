cwlVersion: v1.2
class: CommandLineTool
doc: Prints its number into a file; the cheapest job there is, so that only the runner's own cost is seen.
baseCommand: [echo]
inputs:
  number: {type: int, inputBinding: {}}
outputs:
  out: {type: File, outputBinding: {glob: out.txt}}
stdout: out.txt
