#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "Instrument response functions from two sets of events"
doc: |
  Applies trained models to all events, optimises cuts on one set, and makes the IRF of the other: an
  IRF of the events that its cuts were optimised on would flatter the instrument.

requirements:
  MultipleInputFeatureRequirement: {}

inputs:
  cuts_gammas:
    type: File
    label: "Events to optimise cuts with: gammas, DL2 (HDF5)"
  cuts_protons:
    type: File
    label: "Events to optimise cuts with: protons, DL2 (HDF5)"
  cuts_electrons:
    type: File
    label: "Events to optimise cuts with: electrons, DL2 (HDF5)"
  irf_gammas:
    type: File
    label: "Events to make the IRF of: gammas, DL2 (HDF5)"
  irf_protons:
    type: File
    label: "Events to make the IRF of: protons, DL2 (HDF5)"
  irf_electrons:
    type: File
    label: "Events to make the IRF of: electrons, DL2 (HDF5)"
  models:
    type: File[]
    label: Trained models, in the order in which they are applied
  config:
    type: File
    label: Configuration of cuts and IRF

steps:
  apply_cuts_gammas:
    label: Gammas for cuts
    run: ../tools/ctapipe-apply-models.cwl
    in:
      events: cuts_gammas
      models: models
      drop_parameters: {default: true}
    out: [dl2]
  apply_cuts_protons:
    label: Protons for cuts
    run: ../tools/ctapipe-apply-models.cwl
    in:
      events: cuts_protons
      models: models
      drop_parameters: {default: true}
    out: [dl2]
  apply_cuts_electrons:
    label: Electrons for cuts
    run: ../tools/ctapipe-apply-models.cwl
    in:
      events: cuts_electrons
      models: models
      drop_parameters: {default: true}
    out: [dl2]
  apply_irf_gammas:
    label: Gammas for the IRF
    run: ../tools/ctapipe-apply-models.cwl
    in:
      events: irf_gammas
      models: models
      drop_parameters: {default: true}
    out: [dl2]
  apply_irf_protons:
    label: Protons for the IRF
    run: ../tools/ctapipe-apply-models.cwl
    in:
      events: irf_protons
      models: models
      drop_parameters: {default: true}
    out: [dl2]
  apply_irf_electrons:
    label: Electrons for the IRF
    run: ../tools/ctapipe-apply-models.cwl
    in:
      events: irf_electrons
      models: models
      drop_parameters: {default: true}
    out: [dl2]
  optimise:
    label: Cuts
    run: ../tools/ctapipe-optimize-event-selection.cwl
    in:
      config: config
      gammas: apply_cuts_gammas/dl2
      protons: apply_cuts_protons/dl2
      electrons: apply_cuts_electrons/dl2
    out: [cuts]
  compute:
    label: IRF
    run: ../tools/ctapipe-compute-irf.cwl
    in:
      config: config
      cuts: optimise/cuts
      gammas: apply_irf_gammas/dl2
      protons: apply_irf_protons/dl2
      electrons: apply_irf_electrons/dl2
    out: [irf, benchmarks]

outputs:
  irf:
    type: File
    label: The IRF (FITS)
    outputSource: compute/irf
  benchmarks:
    type: File
    label: Energy bias, resolutions and sensitivity (FITS)
    outputSource: compute/benchmarks
  cuts:
    type: File
    label: The cuts (FITS)
    outputSource: optimise/cuts
  events:
    type: File[]
    label: All events with energies and particle kinds, those for cuts first, gamma, proton, electron (HDF5)
    outputSource:
      - apply_cuts_gammas/dl2
      - apply_cuts_protons/dl2
      - apply_cuts_electrons/dl2
      - apply_irf_gammas/dl2
      - apply_irf_protons/dl2
      - apply_irf_electrons/dl2
    linkMerge: merge_flattened
