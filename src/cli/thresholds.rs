//! Options of the postprocessing of predicted labels.

use std::str::FromStr;

use crate::eval::{ByRegion, PostProcess};
use crate::run::Failure;
use crate::volume::RegionSet;

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
    /// Returns the postprocessing that the options describe for these regions.
    ///
    /// # Errors
    /// If an option names another region.
    pub(super) fn to_postprocess(&self, regions: RegionSet) -> Result<PostProcess, Failure> {
        let mut smallest_component = ByRegion::of_regions(regions, |_| 0);
        let known = || regions.region_names().collect::<Vec<_>>().join(", ");
        for DropBelow { region, voxels } in &self.drop_below {
            if regions.find_region(region).is_none() {
                return Err(Failure::Usage(format!(
                    "--drop-below: `{region}={voxels}` is of no region here; write one of {}, such as {}=100",
                    known(),
                    regions.region_names().last().unwrap_or_default()
                )));
            }
            smallest_component.set_region(region, *voxels);
        }
        if self.smallest_et > 0 && regions.find_region("ET").is_none() {
            return Err(Failure::Usage(format!(
                "--smallest-et {}: there is no region ET here, but {}; leave it out",
                self.smallest_et,
                known()
            )));
        }
        Ok(PostProcess { smallest_component, smallest_et: self.smallest_et })
    }

    /// Returns true if the options leave every label as it is.
    #[cfg(feature = "train")]
    pub(super) fn is_nothing(&self) -> bool {
        self.smallest_et == 0 && self.drop_below.iter().all(|one| one.voxels == 0)
    }
}

/// Formats thresholds as command-line options.
pub(super) fn as_options(rules: &PostProcess) -> String {
    let sizes = rules.smallest_component.iter();
    let sizes: Vec<String> = sizes.map(|(region, voxels)| format!("{region}={voxels}")).collect();
    let mut text = format!("--drop-below {}", sizes.join(","));
    if rules.smallest_component.get("ET").is_some() {
        text += &format!(" --smallest-et {}", rules.smallest_et);
    }
    text
}

/// `WT=100`: a region, and the smallest component that it keeps.
#[derive(Debug, Clone)]
struct DropBelow {
    region: String,
    voxels: usize,
}

impl FromStr for DropBelow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('=').and_then(|(name, voxels)| {
            let is_named = !name.is_empty();
            is_named.then_some(Self { region: name.to_owned(), voxels: voxels.parse().ok()? })
        });
        parsed
            .ok_or_else(|| format!("`{text}` is no region and size; write WT=100, TC=50 or ET=20"))
    }
}
