//! `replay`: augmented samples of a run, as files.

use std::path::PathBuf;

use crate::cli::{CommandOutput, Console, VerbResult};
use crate::run::tools::replay::{self, ReplayRequest};

/// Write the exact samples that a run saw, as NIfTI with what was drawn for them, or as arrays
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow replay --run runs/unet-001 --epoch 3 --index 17 --out replay
  gliaflow replay --run runs/unet-001 --epoch 0 --index 0 --count 64 --arrays --out batches

The images are the z-scores that the network saw, augmented; their affine lays them over the case's \
own files in a viewer, turned and scaled as they were. With --arrays each sample is CASE-epochE-indexI-images.npy, float16 \
[4, d, h, w] in T1, T1ce, T2, FLAIR, and …-targets.npy, uint8 [3, d, h, w] in ET, TC, WT, or in the \
run's own modalities and regions, 255 for inside: what the network is given, for another program to train on.")]
pub(super) struct Replay {
    /// The run's folder
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    /// The epoch, from 0
    #[arg(long, value_name = "N")]
    epoch: u64,

    /// The sample's place in the epoch, from 0; the journal names it
    #[arg(long, value_name = "N")]
    index: u64,

    /// Number of samples, in the order of training
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,

    /// Write NumPy arrays instead of NIfTI
    #[arg(long)]
    arrays: bool,

    /// Folder for the files
    #[arg(long, value_name = "DIR", default_value = "replay")]
    out: PathBuf,
}

impl Replay {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        let Self { epoch, index, count, arrays, out, run } = self;
        let request = ReplayRequest { epoch, index, count, arrays, out: &out };
        let replayed = replay::replay_of_run(&run, request)?;
        let mut text = String::new();
        for one in &replayed {
            let drawn = serde_json::to_string(&one.drawn).expect("draws serialise to JSON");
            text += &format!(
                "epoch {} index {}: case {}, corner {:?} of the brain box, {}\ndrawn: {drawn}\n",
                one.key.epoch, one.key.index, one.case, one.corner, one.dims
            );
            for file in &one.files {
                text += &format!("{}\n", file.display());
            }
        }
        Ok(match replayed.as_slice() {
            [only] => CommandOutput::new(only, text),
            several => CommandOutput::new(&serde_json::json!({ "samples": several }), text),
        })
    }
}
