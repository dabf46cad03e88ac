#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: "From showers to an instrument response function, and a spectrum measured with it"
doc: |
  The whole of it: simulates gamma rays, protons and electrons, reconstructs them, trains models for
  energies and particle kinds, optimises cuts, makes an instrument response function (IRF), draws it,
  and simulates a spectrum measured with it.

  Three sets of events have no run in common: one to train with, one to optimise cuts with, and one to
  make the IRF of.

  With the generator `parametrised` every product is marked as without scientific validity.

requirements:
  InlineJavascriptRequirement: {}
  MultipleInputFeatureRequirement: {}
  SubworkflowFeatureRequirement: {}

inputs:
  generator:
    type:
      type: enum
      symbols: [corsika, parametrised]
    default: parametrised
    label: Which programs simulate
  array:
    type: File
    label: Description of the array (YAML)
  telescopes:
    type: File?
    label: sim_telarray's configuration
    doc: Only for `corsika`, and that of your image where none is given.
  seed:
    type: int
    default: 1
    label: Seed of everything
  runs:
    type: int
    default: 1
    label: Runs of each sample
  gammas:
    type: int
    default: 600
    label: Gamma rays in a run
  protons:
    type: int
    default: 750
    label: Protons in a run
  electrons:
    type: int
    default: 250
    label: Electrons in a run
  uses:
    type: int
    default: 2
    label: Uses of each shower
    doc: At other core positions. Uses share the shower's fluctuations; for a stand-in showers are cheap, images are not.
  radius:
    type: float
    default: 300.0
    label: Radius of the circle of gamma rays' core positions, m
  background_radius:
    type: float
    default: 400.0
    label: Radius of the circle of the background's core positions, m
  viewcone:
    type: float
    default: 3.0
    label: Half angle of the cone that protons and electrons come from, degrees
  process_config:
    type: File[]
    label: Configuration of ctapipe-process
  train_config:
    type: File
    label: Configuration of the training
  irf_config:
    type: File
    label: Configuration of cuts and IRF

steps:
  train_gammas:
    label: Gammas to train with
    run: simulated-sample.cwl
    in:
      name: {default: train-gamma}
      first_run: {default: 1}
      primary: {default: gamma}
      generator: generator
      array: array
      telescopes: telescopes
      seed: seed
      runs: runs
      showers: gammas
      uses: uses
      radius: radius
      config: process_config
    out: [dl2, record]
  train_protons:
    label: Protons to train with
    run: simulated-sample.cwl
    in:
      name: {default: train-proton}
      first_run: {default: 100001}
      primary: {default: proton}
      generator: generator
      array: array
      telescopes: telescopes
      seed: seed
      runs: runs
      showers: protons
      uses: uses
      radius: background_radius
      viewcone: viewcone
      config: process_config
    out: [dl2, record]
  cuts_gammas:
    label: Gammas to optimise cuts with
    run: simulated-sample.cwl
    in:
      name: {default: cuts-gamma}
      first_run: {default: 300001}
      primary: {default: gamma}
      generator: generator
      array: array
      telescopes: telescopes
      seed: seed
      runs: runs
      showers: gammas
      uses: uses
      radius: radius
      config: process_config
    out: [dl2, record]
  cuts_protons:
    label: Protons to optimise cuts with
    run: simulated-sample.cwl
    in:
      name: {default: cuts-proton}
      first_run: {default: 400001}
      primary: {default: proton}
      generator: generator
      array: array
      telescopes: telescopes
      seed: seed
      runs: runs
      showers: protons
      uses: uses
      radius: background_radius
      viewcone: viewcone
      config: process_config
    out: [dl2, record]
  cuts_electrons:
    label: Electrons to optimise cuts with
    run: simulated-sample.cwl
    in:
      name: {default: cuts-electron}
      first_run: {default: 500001}
      primary: {default: electron}
      generator: generator
      array: array
      telescopes: telescopes
      seed: seed
      runs: runs
      showers: electrons
      uses: uses
      radius: background_radius
      viewcone: viewcone
      config: process_config
    out: [dl2, record]
  irf_gammas:
    label: Gammas to make the IRF of
    run: simulated-sample.cwl
    in:
      name: {default: irf-gamma}
      first_run: {default: 600001}
      primary: {default: gamma}
      generator: generator
      array: array
      telescopes: telescopes
      seed: seed
      runs: runs
      showers: gammas
      uses: uses
      radius: radius
      config: process_config
    out: [dl2, record]
  irf_protons:
    label: Protons to make the IRF of
    run: simulated-sample.cwl
    in:
      name: {default: irf-proton}
      first_run: {default: 700001}
      primary: {default: proton}
      generator: generator
      array: array
      telescopes: telescopes
      seed: seed
      runs: runs
      showers: protons
      uses: uses
      radius: background_radius
      viewcone: viewcone
      config: process_config
    out: [dl2, record]
  irf_electrons:
    label: Electrons to make the IRF of
    run: simulated-sample.cwl
    in:
      name: {default: irf-electron}
      first_run: {default: 800001}
      primary: {default: electron}
      generator: generator
      array: array
      telescopes: telescopes
      seed: seed
      runs: runs
      showers: electrons
      uses: uses
      radius: background_radius
      viewcone: viewcone
      config: process_config
    out: [dl2, record]
  train:
    label: Models
    run: train-models.cwl
    in:
      gammas: train_gammas/dl2
      protons: train_protons/dl2
      config: train_config
    out: [energy, classifier, training]
  response:
    label: Cuts and IRF
    run: irf.cwl
    in:
      cuts_gammas: cuts_gammas/dl2
      cuts_protons: cuts_protons/dl2
      cuts_electrons: cuts_electrons/dl2
      irf_gammas: irf_gammas/dl2
      irf_protons: irf_protons/dl2
      irf_electrons: irf_electrons/dl2
      models: {source: [train/energy, train/classifier]}
      config: irf_config
    out: [irf, benchmarks, cuts, events]
  notice:
    label: What the products have to say
    run:
      class: ExpressionTool
      inputs:
        generator:
          type:
            type: enum
            symbols: [corsika, parametrised]
      expression: |
        ${
          var parametrised = "Parametrised simulation: not CORSIKA, not sim_telarray, no scientific validity.";
          return {sentence: inputs.generator === "parametrised" ? parametrised : ""};
        }
      outputs:
        sentence: string
    in:
      generator: generator
    out: [sentence]
  label:
    label: The IRF, with that in its headers
    run: ../tools/irf-label.cwl
    in:
      irf: response/irf
      notice: notice/sentence
    out: [labelled]
  label_benchmarks:
    label: The benchmarks, likewise
    run: ../tools/irf-label.cwl
    in:
      irf: response/benchmarks
      notice: notice/sentence
      output_name: {default: benchmarks.fits}
    out: [labelled]
  label_cuts:
    label: The cuts, likewise
    run: ../tools/irf-label.cwl
    in:
      irf: response/cuts
      notice: notice/sentence
      output_name: {default: cuts.fits}
    out: [labelled]
  draw:
    label: Area, energies, angles, sensitivity
    run: ../tools/irf-performance.cwl
    in:
      irf: label/labelled
      benchmarks: label_benchmarks/labelled
      notice: notice/sentence
    out: [numbers, effective_area, energy_dispersion, angular_resolution, sensitivity]
  measure:
    label: A spectrum
    run: ../tools/gammapy-spectrum.cwl
    in:
      irf: label/labelled
      offset: {default: 0.0}
      seed: seed
      notice: notice/sentence
    out: [numbers, picture]

outputs:
  irf:
    type: File
    label: The IRF (FITS)
    outputSource: label/labelled
  benchmarks:
    type: File
    label: Energy bias, resolutions and sensitivity (FITS)
    outputSource: label_benchmarks/labelled
  cuts:
    type: File
    label: The cuts (FITS)
    outputSource: label_cuts/labelled
  performance:
    type: File
    label: Values at 1 TeV (JSON)
    outputSource: draw/numbers
  spectrum:
    type: File
    label: What was fitted to the spectrum (JSON)
    outputSource: measure/numbers
  pictures:
    type: File[]
    label: Effective area, energy dispersion, angular resolution, sensitivity, spectrum (PNG)
    outputSource:
      - draw/effective_area
      - draw/energy_dispersion
      - draw/angular_resolution
      - draw/sensitivity
      - measure/picture
    linkMerge: merge_flattened
  models:
    type: File[]
    label: Models for energies and particle kinds
    outputSource: [train/energy, train/classifier]
    linkMerge: merge_flattened
  training:
    type: File[]
    label: Gamma rays and protons that the models were trained with, with energies (HDF5)
    outputSource: train/training
  events:
    type: File[]
    label: All events with energies and particle kinds, those for cuts first, gamma, proton, electron (HDF5)
    outputSource: response/events
  records:
    type: File[]
    label: Runs and seeds of the samples (JSON)
    outputSource:
      - train_gammas/record
      - train_protons/record
      - cuts_gammas/record
      - cuts_protons/record
      - cuts_electrons/record
      - irf_gammas/record
      - irf_protons/record
      - irf_electrons/record
    linkMerge: merge_flattened
