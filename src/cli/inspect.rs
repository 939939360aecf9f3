//! `inspect`: contents and problems of a file or a dataset.

use std::path::PathBuf;

use crate::brats::inspect::{Depth, FileReport, FolderReport, inspect_file, inspect_folder};
use crate::cli::{CommandOutput, Console, VerbResult};

/// Show what a NIfTI file or a dataset folder holds, and what is wrong with it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow inspect case_t1.nii.gz --json
  gliaflow inspect data/BraTS2020 --deep

A folder with problems is listed in full, and the exit code is 3.")]
pub(super) struct Inspect {
    /// A NIfTI file, a case's folder, or a dataset's folder
    path: PathBuf,

    /// Read every file of a folder: headers, checksums, agreement, labels
    #[arg(long)]
    deep: bool,
}

impl Inspect {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        if self.path.is_dir() {
            let depth = if self.deep { Depth::Voxels } else { Depth::Names };
            let found = inspect_folder(&self.path, depth)?;
            let bad = !found.problems.is_empty();
            return Ok(CommandOutput::new(&found, folder_text(&found)).with_bad_data(bad));
        }
        let found = inspect_file(&self.path)?;
        Ok(CommandOutput::new(&found, file_text(&found)))
    }
}

fn file_text(found: &FileReport) -> String {
    let shape: Vec<String> = found.shape.iter().map(ToString::to_string).collect();
    let spacing: Vec<String> = found.spacing_mm.iter().map(|edge| format!("{edge:.4}")).collect();
    let value = |value: Option<f64>| value.map_or_else(|| "none".to_string(), |v| v.to_string());
    let mut text = format!(
        "{}\n  shape        {}\n  spacing      {} mm\n  datatype     {}\n  orientation  {}\n  \
         values       {} to {}, sum {}\n",
        found.path,
        shape.join(" x "),
        spacing.join(" x "),
        found.datatype,
        found.orientation,
        value(found.min),
        value(found.max),
        found.sum
    );
    if found.non_finite > 0 {
        let voxels = found.non_finite;
        text += &format!("  not finite   {voxels} voxels; they count as background\n");
    }
    text
}

fn folder_text(found: &FolderReport) -> String {
    let labelled = found.cases.iter().filter(|case| case.labelled).count();
    let mut text = format!(
        "{} cases ({labelled} labelled), layout {}, labels {}\n",
        found.cases.len(),
        json_name(&found.layout),
        json_name(&found.scheme)
    );
    for problem in &found.problems {
        text += &format!("  problem: {problem}\n");
    }
    text
}

/// Name of a value in JSON, so that text and document have the same.
fn json_name(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().map_or_else(|| json.to_string(), str::to_string)
}
