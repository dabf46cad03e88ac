#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "A simulated LOFAR observation, subband by subband"
doc: |
  Measurement Sets of an observation with LOFAR's Dutch HBA stations at their real positions: the visibilities of a sky
  model, with gains that drift, noise and interference. All subbands share the stations' gains.

requirements:
  InlineJavascriptRequirement: {}
  ScatterFeatureRequirement: {}
  StepInputExpressionRequirement: {}

inputs:
  frequencies:
    type: double[]
    label: First frequency of each subband, MHz
  skymodel:
    type: File
    label: Sky model (DP3's text format)
  direction:
    type: string
    label: Centre of the field
  start:
    type: string
    default: "2024-03-14T18:00:00"
    label: Start of the observation (UTC)
  times:
    type: int
    default: 60
    label: Number of integrations of 8 s
  channels:
    type: int
    default: 8
    label: Channels of a subband
  seed:
    type: int
    default: 1
    label: Seed of gains, noise and interference
  sefd:
    type: float
    default: 3000.0
    label: System equivalent flux density of a station, Jy

steps:
  simulate:
    label: Stations, times and channels
    run: ../tools/simms.cwl
    scatter: frequency
    in:
      telescope: {default: lofar-hba}
      name: {valueFrom: '$("SB" + Math.round(inputs.frequency * 1000) + ".ms")'}
      direction: direction
      start: start
      times: times
      frequency: frequencies
      channels: channels
    out: [ms]
  predict:
    label: Visibilities of the sky model
    run: ../tools/dp3-predict.cwl
    scatter: ms
    in:
      ms: simulate/ms
      skymodel: skymodel
    out: [predicted]
  corrupt:
    label: Gains, noise and interference
    run: ../tools/ms-corrupt.cwl
    scatter: ms
    in:
      ms: predict/predicted
      seed: seed
      sefd: sefd
    out: [corrupted, truth]

outputs:
  subbands:
    type: Directory[]
    label: Measurement Sets, one for each subband
    outputSource: corrupt/corrupted
  truth:
    type: File[]
    label: What was added to each (JSON)
    outputSource: corrupt/truth
