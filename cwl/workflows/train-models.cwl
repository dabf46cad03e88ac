#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "Models for energies, particle kinds and directions"
doc: |
  Trains a regressor for energies on gamma rays, applies it to gamma rays and protons, and trains a
  classifier on both: the classifier may use the energy. A model for directions from single images is
  trained where it is asked for.

requirements:
  MultipleInputFeatureRequirement: {}

inputs:
  gammas:
    type: File
    label: Simulated gamma rays with image parameters, DL2 (HDF5)
  protons:
    type: File
    label: Simulated protons with image parameters, DL2 (HDF5)
  config:
    type: File
    label: Configuration of the training
  directions:
    type: boolean
    default: false
    label: Train a model for directions, too

steps:
  train_energy:
    label: Energies
    run: ../tools/ctapipe-train-energy-regressor.cwl
    in:
      config: config
      gammas: gammas
    out: [model, cross_validation]
  gamma_energies:
    label: Energies of the gamma rays
    run: ../tools/ctapipe-apply-models.cwl
    in:
      events: gammas
      models: {source: [train_energy/model], linkMerge: merge_nested}
    out: [dl2]
  proton_energies:
    label: Energies of the protons
    run: ../tools/ctapipe-apply-models.cwl
    in:
      events: protons
      models: {source: [train_energy/model], linkMerge: merge_nested}
    out: [dl2]
  train_classifier:
    label: Particle kinds
    run: ../tools/ctapipe-train-particle-classifier.cwl
    in:
      config: config
      gammas: gamma_energies/dl2
      background: proton_energies/dl2
    out: [model, cross_validation]
  train_disp:
    label: Directions
    run: ../tools/ctapipe-train-disp-reconstructor.cwl
    when: $(inputs.directions)
    in:
      config: config
      gammas: gammas
      directions: directions
    out: [model]

outputs:
  energy:
    type: File
    label: Model for energies
    outputSource: train_energy/model
  classifier:
    type: File
    label: Model for particle kinds
    outputSource: train_classifier/model
  disp:
    type: File?
    label: Model for directions, where that was asked for
    outputSource: train_disp/model
  training:
    type: File[]
    label: The gamma rays and the protons, with energies (HDF5)
    outputSource: [gamma_energies/dl2, proton_energies/dl2]
  cross_validation:
    type: File[]
    label: How energies and particle kinds did on events that they were not trained with
    outputSource: [train_energy/cross_validation, train_classifier/cross_validation]
