//! `replay`: augmented samples of a run, as files.

use std::path::PathBuf;

use crate::cli::{CommandOutput, Console, VerbResult};
use crate::run::tools::replay::{self, FirstSample, ReplayRequest};

/// Write the exact samples that a run saw, as NIfTI with what was drawn for them, or as arrays
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow replay --run runs/unet-001 --epoch 3 --index 17 --out replay
  gliaflow replay --run runs/unet-001 --key 3/17
  gliaflow replay --run runs/unet-001 --epoch 0 --index 0 --count 64 --arrays --out batches

The images are the z-scores that the network saw, augmented; their affine lays them over the case's \
own files in a viewer, turned and scaled as they were. With --arrays each sample is CASE-epochE-indexI-images.npy, float16 \
[4, d, h, w] in T1, T1ce, T2, FLAIR, and …-targets.npy, uint8 [3, d, h, w] in ET, TC, WT, or in the \
run's own modalities and regions, 255 for inside: what the network is given, for another program to train on.")]
pub(super) struct Replay {
    /// The run's folder
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    /// The run's epoch, from 0, as its journal counts them; one that was not reached is refused
    #[arg(long, value_name = "N", required_unless_present = "key", requires = "index")]
    epoch: Option<u64>,

    /// The sample's place in the epoch, from 0, in the order of training
    #[arg(long, value_name = "N", requires = "epoch")]
    index: Option<u64>,

    /// The sample by its key, as the journal has it: `"epoch"` and `"index"` of one of a step's samples
    #[arg(long, value_name = "EPOCH/INDEX", value_parser = parse_key, conflicts_with = "epoch")]
    key: Option<FirstSample>,

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
        let Self { epoch, index, key, count, arrays, out, run } = self;
        let place = || FirstSample::OfEpoch {
            epoch: epoch.unwrap_or_default(),
            place: index.unwrap_or_default(),
        };
        let first = key.unwrap_or_else(place);
        let request = ReplayRequest { first, count, arrays, out: &out };
        let replayed = replay::replay_of_run(&run, request)?;
        let mut text = String::new();
        for one in &replayed {
            let drawn = serde_json::to_string(&one.drawn).expect("draws serialise to JSON");
            text += &format!(
                "key {}/{}: case {}, corner {:?} of the brain box, {}\ndrawn: {drawn}\n",
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

fn parse_key(text: &str) -> Result<FirstSample, String> {
    let parts = text.split_once('/').and_then(|(epoch, index)| {
        Some(FirstSample::WithKey { epoch: epoch.parse().ok()?, index: index.parse().ok()? })
    });
    parts.ok_or_else(|| format!("`{text}` is no key; write one such as 3/17"))
}
