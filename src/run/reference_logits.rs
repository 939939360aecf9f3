//! Reference of a run's network for other runtimes: images that are drawn, and their logits.

use std::path::Path;

use crate::base::{Domain, KeyedRng, SampleKey, write_atomically};
use crate::nets::exchange::{self, Weight};
use crate::nets::weights::ParameterShape;
use crate::run::weights_file::ExportReport;
use crate::run::{CheckpointChoice, Failure, config};
use crate::volume::Dims;

/// Writes a safetensors file with `images` `[1, c, d, h, w]`, drawn from the standard normal
/// distribution, and the `logits` `[1, k, d, h, w]` that one of a run's checkpoints has for them, computed
/// on the CPU in f32; `extent` is `[d, h, w]`, by default the patch of training. A file that is there is
/// replaced.
///
/// # Errors
/// If the folder holds no run, its checkpoint is damaged, the extent is none that the network can take,
/// or the file cannot be written.
pub fn export_reference(
    run: &Path,
    which: CheckpointChoice,
    extent: Option<[usize; 3]>,
    file: &Path,
) -> Result<ExportReport, Failure> {
    let config = config::load_run_config(run, &[])?;
    let blueprint = &config.blueprint;
    let Dims([d, h, w]) = extent.map_or(config.run.crop.patch, Dims);
    let divisor = blueprint.patch_divisor();
    if [d, h, w].iter().any(|side| *side == 0 || !side.is_multiple_of(divisor)) {
        return Err(Failure::Usage(format!(
            "--extent {d},{h},{w}: {} takes multiples of {divisor}; choose each axis so",
            blueprint.name()
        )));
    }
    let (folder, step) = which.find_in_run(run)?;
    let channels = blueprint.run_channels();
    let named = |name: &str, channels: usize, values: Vec<f32>| Weight {
        parameter: ParameterShape { name: name.to_owned(), shape: vec![1, channels, d, h, w] },
        values,
    };
    let (modalities, regions) = (channels.modalities.len(), channels.regions.len());
    let images = draw_images(modalities * d * h * w);
    let network = blueprint.load_for_export(&folder)?;
    let logits = network.compute_logits(images.clone(), [1, modalities, d, h, w]);
    let tensors = [named("images", modalities, images), named("logits", regions, logits)];
    let bytes = exchange::to_bytes(&tensors, blueprint.name(), channels, &blueprint.settings())?;
    write_atomically(file, &bytes)?;
    Ok(ExportReport::of_weights(blueprint.name(), step, &tensors, bytes.len()))
}

fn draw_images(count: usize) -> Vec<f32> {
    let mut rng = KeyedRng::new(SampleKey { seed: 1, epoch: 0, index: 0 }, Domain::Phantom);
    (0..count).map(|_| rng.standard_normal() as f32).collect()
}
