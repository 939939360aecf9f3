//! Regions of a dataset as a table: tissues and label values that make each, and the value that it is
//! written as.

use serde::Serialize;

use crate::volume::{LabelScheme, Region, RegionSet, label};

/// Region of a dataset's labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegionReport {
    /// Name.
    pub region: &'static str,
    /// Tissues in it.
    pub tissues: Vec<&'static str>,
    /// Label values of them, ascending.
    pub values: Vec<u8>,
    /// Label value of a voxel that lies in no region that is painted later.
    pub written: u8,
    /// Voxels of all cases, where they were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voxels: Option<u64>,
}

impl RegionReport {
    /// Lists the regions in the order in which they become labels, a later one over an earlier one.
    pub fn list_regions(scheme: LabelScheme, regions: RegionSet) -> Vec<Self> {
        let report = |region: &Region| {
            let tissues = scheme.tissue_names().into_iter();
            let is_inside = |tissue: &&str| {
                scheme.tissue_label(tissue).is_some_and(|canonical| region.contains(canonical))
            };
            Self {
                region: region.name(),
                tissues: tissues.filter(is_inside).collect(),
                values: values_of(scheme, |canonical| region.contains(canonical)),
                written: scheme.to_file(region.label_painted()),
                voxels: None,
            }
        };
        regions.painting_order().iter().map(report).collect()
    }
}

/// Label values of a scheme that count in no loss and no score, ascending.
pub(super) fn ignored_values(scheme: LabelScheme) -> Vec<u8> {
    values_of(scheme, |canonical| canonical == label::IGNORE)
}

fn values_of(scheme: LabelScheme, has_label: impl Fn(u8) -> bool) -> Vec<u8> {
    let pairs = scheme.label_pairs().iter().filter(|(_, canonical)| has_label(*canonical));
    let mut values: Vec<u8> = pairs.map(|(value, _)| *value).collect();
    values.sort_unstable();
    values
}
