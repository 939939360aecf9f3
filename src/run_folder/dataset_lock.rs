//! Cases of a run: `dataset.lock.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::Fingerprint;
use crate::brats::CaseFiles;
use crate::volume::{CaseId, Fold, PatientId, Split};

/// Case in `dataset.lock.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedCase {
    /// The case.
    pub id: CaseId,
    /// Fingerprint of its files.
    pub fingerprint: Fingerprint,
    /// Fingerprint of the meaning of its channels and label values; runs of before do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<Fingerprint>,
    /// Split that it belongs to.
    pub split: Split,
    /// True of a case that another program made (`data.synthetic`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub synthetic: bool,
}

/// Least and greatest voxel edges of several cases in canonical orientation, in mm, fastest axis
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SpacingRange {
    /// Least edges.
    pub least_mm: [f64; 3],
    /// Greatest edges.
    pub greatest_mm: [f64; 3],
}

impl SpacingRange {
    /// Share by which an edge may leave the range: files keep single precision, and some round.
    const TOLERANCE: f64 = 0.01;

    /// Range of some cases; `None` without any.
    pub fn of_spacings(spacings: impl IntoIterator<Item = [f64; 3]>) -> Option<Self> {
        let one = |edges: [f64; 3]| Self { least_mm: edges, greatest_mm: edges };
        spacings.into_iter().map(one).reduce(|all, own| Self {
            least_mm: std::array::from_fn(|axis| all.least_mm[axis].min(own.least_mm[axis])),
            greatest_mm: std::array::from_fn(|axis| {
                all.greatest_mm[axis].max(own.greatest_mm[axis])
            }),
        })
    }

    /// True if each edge lies in the range, or beside it by rounding.
    pub fn covers(&self, spacing_mm: [f64; 3]) -> bool {
        (0..3).all(|axis| {
            let least = self.least_mm[axis] * (1.0 - Self::TOLERANCE);
            let greatest = self.greatest_mm[axis] * (1.0 + Self::TOLERANCE);
            (least..=greatest).contains(&spacing_mm[axis])
        })
    }
}

/// Case whose files were replaced while its run was interrupted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedCase {
    /// The case.
    pub id: CaseId,
    /// Fingerprint of the files before.
    pub before: Fingerprint,
    /// Position in the plan of the first sample of the new ones.
    pub next_sample: u64,
}

/// File that divided a run's cases, in `dataset.lock.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedSplitFile {
    /// Path as the settings name it.
    pub path: PathBuf,
    /// Fingerprint of its text.
    pub fingerprint: Fingerprint,
    /// Fold of it that was taken, if it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
}

/// Cases of a run by fingerprint, and those left out with their cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetLock {
    /// Folder of the files.
    pub folder: PathBuf,
    /// Cases in use.
    pub cases: Vec<LockedCase>,
    /// Voxel sizes of the cases that are trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_spacing: Option<SpacingRange>,
    /// Patients of the cases that have another name than their patient.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub patients: BTreeMap<CaseId, PatientId>,
    /// File that divided them, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_file: Option<LockedSplitFile>,
    /// Cases whose files were replaced since the run was begun, in the order of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<ReplacedCase>,
    /// Cases left out: name and cause.
    #[serde(default)]
    pub excluded: Vec<(CaseId, String)>,
    /// Problems with other files of the folder, such as a case without a modality.
    #[serde(default)]
    pub problems: Vec<String>,
}

impl DatasetLock {
    /// Selects the files of one split's locked cases, in the lock's order, out of those found.
    pub fn files_in_split(&self, found: &[CaseFiles], part: Split) -> Vec<CaseFiles> {
        let wanted = self.cases.iter().filter(|case| case.split == part);
        let files = wanted.filter_map(|case| found.iter().find(|files| files.id == case.id));
        files.cloned().collect()
    }

    /// Number of synthetic cases.
    pub fn synthetic_count(&self) -> usize {
        self.cases.iter().filter(|case| case.synthetic).count()
    }

    /// Names of the locked cases of these splits that are not among those found.
    pub fn missing_cases(&self, found: &[CaseFiles], parts: &[Split]) -> Vec<&str> {
        let wanted = self.cases.iter().filter(|case| parts.contains(&case.split));
        let gone = wanted.filter(|case| found.iter().all(|files| files.id != case.id));
        gone.map(|case| case.id.as_str()).collect()
    }

    /// True if the sample at `position` of the plan was made before the files of `case` were
    /// replaced.
    pub fn was_replaced_after(&self, case: &CaseId, position: u64) -> bool {
        self.replaced.iter().any(|own| own.id == *case && position < own.next_sample)
    }

    /// Number of cases in one split.
    pub fn case_count(&self, part: Split) -> usize {
        self.cases.iter().filter(|case| case.split == part).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_covers_its_cases_and_what_rounding_makes_of_them() {
        assert_eq!(SpacingRange::of_spacings([]), None);
        let range = SpacingRange::of_spacings([[1.0, 1.0, 2.0], [1.0, 1.2, 1.0]]).unwrap();
        assert_eq!((range.least_mm, range.greatest_mm), ([1.0; 3], [1.0, 1.2, 2.0]));
        for own in [[1.0; 3], [1.0, 1.2, 2.0], [1.000_001, 1.1, 1.5]] {
            assert!(range.covers(own), "{own:?}");
        }
        for other in [[1.2, 1.0, 1.0], [1.0, 1.0, 3.0], [0.5; 3]] {
            assert!(!range.covers(other), "{other:?}");
        }
    }
}
