cwlVersion: v1.2
class: Workflow
doc: |
  Nine of rapthor's steps, as published, from subbands to a restored image and a mosaic. STEPS is their folder and TOOLS
  that of this repository, whose wsclean deconvolves in the place of rapthor's: that one needs a newer WSClean than Debian
  has, with EveryBeam. The image is made by rapthor's wsclean_restore, of the components and the residual.
requirements:
  # a requirement outweighs the hint of each step, which names an image of a registry
  DockerRequirement: {dockerPull: "gridcwl/radio:1.0.0"}
  MultipleInputFeatureRequirement: {}
  StepInputExpressionRequirement: {}
  InlineJavascriptRequirement: {}
inputs:
  subbands: Directory[]
  sky: File
  vertices: File
outputs:
  restored: {type: File, outputSource: restore/restored_image}
  whole: {type: File, outputSource: mosaic/mosaic_image}
  plots: {type: "File[]", outputSource: plot/plots}
  solutions: {type: File, outputSource: collect/outh5parm}
steps:
  concat:
    run: STEPS/concat_ms_files.cwl
    in: {mslist: subbands, msout: {default: band.ms}, concat_property: {default: frequency}, data_colname: {default: DATA}}
    out: [msconcat]
  model:
    run:
      class: CommandLineTool
      doc: Visibilities of the sky model as a column, for simulated stations have no beam that DP3 knows.
      requirements: {InitialWorkDirRequirement: {listing: [{entry: $(inputs.ms), writable: true}]}}
      baseCommand: DP3
      arguments: ["msin=$(inputs.ms.basename)", msout=., msout.datacolumn=MODEL_DATA, "steps=[predict]", numthreads=1]
      inputs:
        ms: Directory
        sky: {type: File, inputBinding: {prefix: predict.sourcedb=, separate: false}}
      outputs: {predicted: {type: Directory, outputBinding: {glob: $(inputs.ms.basename)}}}
    in: {ms: concat/msconcat, sky: sky}
    out: [predicted]
  solve:
    run: STEPS/ddecal_solve.cwl
    in:
      msin: model/predicted
      data_colname: {default: DATA}
      starttime: {default: 14Mar2024/18:00:00}
      ntimes: {default: 0}
      steps: {default: "[solve1]"}
      modeldatacolumn: {default: "[MODEL_DATA]"}
      solve1_h5parm: {default: fast.h5}
      solve1_solint: {default: 1}
      solve1_nchan: {default: 0}
      solve1_mode: {default: diagonal}
      solve1_llssolver: {default: qr}
      solve1_maxiter: {default: 50}
      solve1_propagatesolutions: {default: true}
      solve1_solveralgorithm: {default: directioniterative}
      solve1_solverlbfgs_dof: {default: 200.0}
      solve1_solverlbfgs_iter: {default: 4}
      solve1_solverlbfgs_minibatches: {default: 1}
      solve1_stepsize: {default: 0.2}
      solve1_stepsigma: {default: 2.0}
      solve1_tolerance: {default: 0.0001}
      solve1_uvlambdamin: {default: 0.0}
      numthreads: {default: 1}
    out: [output_h5parm1]
  collect:
    run: STEPS/collect_h5parms.cwl
    in: {inh5parms: {source: [solve/output_h5parm1], linkMerge: merge_flattened}, outputh5parm: {default: all.h5}}
    out: [outh5parm]
  plot:
    run: STEPS/plot_solutions.cwl
    in: {h5parm: collect/outh5parm, soltype: {default: phase}, root: {default: phase_}}
    out: [plots]
  prepare:
    run: STEPS/prepare_imaging_data.cwl
    in:
      msin: concat/msconcat
      data_colname: {default: DATA}
      msout: {default: imaging.ms}
      starttime: {default: 14Mar2024/18:00:00}
      ntimes: {default: 0}
      phasecenter: {default: "[8h13m36s,48d13m02s]"}
      freqstep: {default: 1}
      timestep: {default: 1}
      beamdir: {default: "[8h13m36s,48d13m02s]"}
      h5parm: solve/output_h5parm1
      numthreads: {default: 1}
      steps: {default: "[applycal]"}
      applycal_steps: {default: "[fastphase,slowgain]"}
    out: [msimg]
  image:
    run: TOOLS/wsclean.cwl
    in:
      ms: {source: [prepare/msimg], linkMerge: merge_flattened}
      pixels: {default: 512}
      pixel: {default: 6.0}
      taper: {default: 16.0}
      max_uv: {default: 12000.0}
      iterations: {default: 500}
      save_sources: {default: true}
    out: [residual, sources]
  restore:
    run: STEPS/wsclean_restore.cwl
    in:
      numthreads: {default: 1}
      residual_image: image/residual
      source_list: image/sources
      output_image: {default: restored.fits}
    out: [restored_image]
  template:
    run: STEPS/make_mosaic_template.cwl
    in:
      input_image_list: {source: [restore/restored_image], linkMerge: merge_flattened}
      vertices_file_list: {source: [vertices], linkMerge: merge_flattened}
      output_image: {default: template.fits}
      skip: {default: false}
    out: [template_image]
  regrid:
    run: STEPS/regrid_image.cwl
    in:
      input_image: restore/restored_image
      template_image: template/template_image
      vertices_file: vertices
      output_image: {default: regridded.fits}
      skip: {default: false}
    out: [regridded_image]
  mosaic:
    run: STEPS/make_mosaic.cwl
    in:
      input_image_list: {source: [regrid/regridded_image], linkMerge: merge_flattened}
      template_image: template/template_image
      output_image: {default: mosaic.fits}
      skip: {default: false}
    out: [mosaic_image]
