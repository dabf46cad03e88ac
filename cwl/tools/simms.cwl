#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: "simms: an empty observation by LOFAR or SKA-Mid"
doc: |
  A Measurement Set without a signal: stations, times, channels and baselines of an observation of one direction.

  Layouts are LOFAR's Dutch HBA stations (positions of lofarantpos) and the stages AA2 and AA4 of SKA-Mid. simms has no
  layout of SKA-Low.

  Measured on 38 stations, 60 times and 8 channels (33 MB): 4.4 s of processor time, 434 MiB of memory.

requirements:
  ResourceRequirement:
    coresMin: 1
    ramMin: 768
    outdirMin: 96
    tmpdirMin: 64
hints:
  DockerRequirement:
    dockerPull: gridcwl/radio-simulator:1.0.0  # gridcwl: ignore GC102 (built from containers/, has no digest)
  SoftwareRequirement:
    packages:
      simms:
        version: ["3.0.2"]
        specs: [https://pypi.org/project/simms/]

baseCommand: [simms, telsim]

arguments:
  - {prefix: --nworkers, valueFrom: $(runtime.cores)}
  - {prefix: --startfreq, valueFrom: $(inputs.frequency)MHz}
  - {prefix: --dfreq, valueFrom: $(inputs.channel_width)kHz}
  - {position: 1, valueFrom: $(inputs.name)}

inputs:
  telescope:
    type:
      type: enum
      symbols: [lofar-hba, skamid-aa2, skamid-aa4]
    label: Layout of the stations
    inputBinding: {prefix: --telescope}
  name:
    type: string
    label: Name of the Measurement Set
  direction:
    type: string
    label: Centre of the field
    doc: Frame, right ascension and declination, as in J2000,8h13m36s,48d13m02s.
    inputBinding: {prefix: --direction}
  start:
    type: string
    default: "2024-03-14T18:00:00"
    label: Start of the observation (UTC)
    inputBinding: {prefix: --starttime}
  interval:
    type: float
    default: 8.0
    label: Integration time, s
    inputBinding: {prefix: --dtime}
  times:
    type: int
    default: 60
    label: Number of integrations
    inputBinding: {prefix: --ntime}
  frequency:
    type: double
    label: Centre of the first channel, MHz
  channel_width:
    type: double
    default: 24.4140625
    label: Width of a channel, kHz
  channels:
    type: int
    default: 8
    label: Number of channels
    inputBinding: {prefix: --nchan}
  correlations:
    type: string
    default: XX,XY,YX,YY
    label: Correlations
    inputBinding: {prefix: --correlations}

outputs:
  ms:
    type: Directory
    label: The Measurement Set
    outputBinding: {glob: $(inputs.name)}
