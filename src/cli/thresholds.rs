//! Options of the postprocessing of predicted labels.

use std::str::FromStr;

use crate::eval::PostProcess;
use crate::volume::Region;

/// Postprocessing thresholds given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ThresholdOptions {
    /// Drop predicted components of a region below so many voxels
    #[arg(long, value_name = "REGION=VOXELS", value_delimiter = ',')]
    drop_below: Vec<DropBelow>,

    /// Take enhancing tumour of fewer voxels than this, in a case, for necrotic core
    #[arg(long, value_name = "VOXELS", default_value_t = 0)]
    smallest_et: usize,
}

impl ThresholdOptions {
    /// Returns the postprocessing that the options describe.
    pub(super) fn to_postprocess(&self) -> PostProcess {
        let mut rules = PostProcess { smallest_et: self.smallest_et, ..PostProcess::default() };
        for DropBelow { region, voxels } in &self.drop_below {
            rules.smallest_component[region.index()] = *voxels;
        }
        rules
    }
}

/// Formats thresholds as command-line options.
pub(super) fn as_options(rules: &PostProcess) -> String {
    let [et, tc, wt] = rules.smallest_component;
    format!("--drop-below ET={et},TC={tc},WT={wt} --smallest-et {}", rules.smallest_et)
}

/// `WT=100`: a region, and the smallest component that it keeps.
#[derive(Debug, Clone, Copy)]
struct DropBelow {
    region: Region,
    voxels: usize,
}

impl FromStr for DropBelow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('=').and_then(|(name, voxels)| {
            let region = Region::ALL.into_iter().find(|region| region.name() == name)?;
            Some(Self { region, voxels: voxels.parse().ok()? })
        });
        parsed
            .ok_or_else(|| format!("`{text}` is no region and size; write WT=100, TC=50 or ET=20"))
    }
}
