cwlVersion: v1.2
class: Workflow
doc: |
  A night of subbands, with the data flow of lofar-imaging and tools that need no image: each subband is flagged, then
  averaged to half its size, and all of them are concatenated.
requirements:
  ScatterFeatureRequirement: {}
inputs:
  subbands: Directory[]
outputs:
  band: {type: Directory, outputSource: concat/band}
steps:
  flag:
    scatter: ms
    in: {ms: subbands}
    out: [flagged]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'cp -rL "$0" . && head -c 2048 /dev/zero > "${0##*/}/table.f3"']
      inputs:
        ms: {type: Directory, inputBinding: {position: 1}}
      outputs:
        flagged: {type: Directory, outputBinding: {glob: $(inputs.ms.basename)}}
  average:
    scatter: ms
    in: {ms: flag/flagged}
    out: [averaged]
    run:
      class: CommandLineTool
      baseCommand:
        - sh
        - -c
        - |
          mkdir "${0##*/}" && cd "$0" && for table in $(find -L . -type f); do
            mkdir -p "$OLDPWD/${0##*/}/${table%/*}"
            head -c $(($(wc -c < "$table") / 2)) "$table" > "$OLDPWD/${0##*/}/$table"
          done
      inputs:
        ms: {type: Directory, inputBinding: {position: 1}}
      outputs:
        averaged: {type: Directory, outputBinding: {glob: $(inputs.ms.basename)}}
  concat:
    in: {subbands: average/averaged}
    out: [band]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'mkdir band.ms && for ms; do cat "$ms"/table.f4_TSM0 >> band.ms/table.f4_TSM0; done', concat]
      inputs:
        subbands: {type: "Directory[]", inputBinding: {position: 1}}
      outputs:
        band: {type: Directory, outputBinding: {glob: band.ms}}
