//! `phantom`: a cohort of BraTS-like cases from nothing.

use std::path::PathBuf;

use clap::value_parser;

use crate::brats::phantom::PhantomConfig;
use crate::cli::{ActiveSession, CommandOutput, Console, SessionOptions, VerbResult};
use crate::run::phantoms::{ACTORS, write_phantoms};
use crate::volume::Dims;

/// Write a cohort of synthetic BraTS-like cases
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  gliaflow phantom --out data/phantom --cases 12 --seed 1 --shape 240x240x155

The same seed and shape give the same files. An interrupted run goes on where it stood.")]
pub(super) struct PhantomCommand {
    /// The dataset's folder, in the layout of BraTS 2020
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Number of cases
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = value_parser!(u64).range(1..))]
    cases: u64,

    /// Decides every voxel
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Voxels along each axis, as in the file
    #[arg(long, value_name = "WxHxD", default_value = "240x240x155")]
    shape: Dims,

    #[command(flatten)]
    long: SessionOptions,
}

impl PhantomCommand {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let config = PhantomConfig { dims: self.shape, seed: self.seed };
        let live =
            ActiveSession::start(&self.long, "phantom", console)?.register_metrics(&[&ACTORS], &[]);
        let written =
            live.run_verb(|session| write_phantoms(&self.out, &config, self.cases, session))?;
        let text =
            format!("{} phantom cases of {} in {}", written.len(), self.shape, self.out.display());
        let result = serde_json::json!({
            "folder": self.out,
            "cases": written,
            "shape": self.shape.to_nifti(),
            "seed": self.seed,
        });
        Ok(CommandOutput::new(&result, text))
    }
}
