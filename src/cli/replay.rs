//! `replay`: an augmented sample of a run, as files.

use std::path::PathBuf;

use crate::cli::{CommandOutput, Console, VerbResult};
use crate::run::tools::replay;

/// Write the exact sample that a run saw, as NIfTI, with what was drawn for it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  gliaflow replay --run runs/unet-001 --epoch 3 --index 17 --out replay

The images are the z-scores that the network saw, augmented; their affine lays them over the case's \
own files in a viewer, turned and scaled as they were.")]
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

    /// Folder for the files
    #[arg(long, value_name = "DIR", default_value = "replay")]
    out: PathBuf,
}

impl Replay {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        let done = replay::replay_of_run(&self.run, self.epoch, self.index, &self.out)?;
        let drawn = serde_json::to_string(&done.drawn).expect("draws serialise to JSON");
        let mut text = format!(
            "epoch {} index {}: case {}, corner {:?} of the brain box, {}\ndrawn: {drawn}\n",
            self.epoch, self.index, done.case, done.corner, done.dims
        );
        for file in &done.files {
            text += &format!("{}\n", file.display());
        }
        Ok(CommandOutput::new(&done, text))
    }
}
