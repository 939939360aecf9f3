//! Reports on a NIfTI file or a dataset's folder, as data: the command line prints them.

use std::path::Path;

use serde::Serialize;

use crate::base::CaseError;
use crate::brats::{
    CaseExamination, Layout, SchemeReason, TumourGrade, axis_codes, discover_cases, examine_cases,
    read_volume,
};
use crate::quality::{Consequence, QualityPolicy};
use crate::volume::{CaseId, LabelScheme};

/// Report on a NIfTI file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileReport {
    /// Path as asked for.
    pub path: String,
    /// Extent as in the file, fastest axis first.
    pub shape: Vec<usize>,
    /// Voxel edges in mm, fastest axis first.
    pub spacing_mm: [f64; 3],
    /// World-from-voxel affine, RAS+, in mm.
    pub affine: [[f64; 4]; 4],
    /// Type of the stored voxels: `int16`.
    pub datatype: &'static str,
    /// Directions of the file's axes: `LPS`.
    pub orientation: String,
    /// Least finite value after scaling; absent where there is none.
    pub min: Option<f64>,
    /// Greatest finite value after scaling; absent where there is none.
    pub max: Option<f64>,
    /// Sum of the finite values after scaling.
    pub sum: f64,
    /// Voxels that are NaN or infinite.
    pub non_finite: usize,
}

/// Report on a case of a folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseReport {
    /// Case id.
    pub id: String,
    /// Grade, if the folders name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grade: Option<TumourGrade>,
    /// True if it has labels.
    pub labelled: bool,
    /// Measurements of its images, where voxels were asked for and could be read.
    #[serde(flatten)]
    pub examination: Option<CaseExamination>,
    /// Meaning of its label values.
    pub scheme: LabelScheme,
}

/// Report on a dataset's folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FolderReport {
    /// The naming of most cases.
    pub layout: Layout,
    /// Meaning of its label values.
    pub scheme: LabelScheme,
    /// Source of that meaning.
    pub scheme_reason: SchemeReason,
    /// Complete cases.
    pub cases: Vec<CaseReport>,
    /// Problems, a sentence each.
    pub problems: Vec<String>,
}

/// Depth of an inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// File names only.
    Names,
    /// Every file is read: headers, checksums, agreement, labels, and the quality of the images.
    Voxels,
}

/// Reads a file and describes it.
///
/// # Errors
/// Those of [`read_volume`].
pub fn inspect_file(path: &Path) -> Result<FileReport, CaseError> {
    let volume = read_volume(path)?;
    let header = volume.header;
    let mut min = f64::INFINITY;
    let mut max = f64::NEG_INFINITY;
    let mut sum = 0.0;
    for value in volume.voxels.iter().filter(|value| value.is_finite()) {
        min = min.min(value);
        max = max.max(value);
        sum += value;
    }
    let some_finite = volume.non_finite < volume.voxels.len();
    Ok(FileReport {
        path: path.display().to_string(),
        spacing_mm: header.spacing_mm,
        affine: header.world_from_voxel.0,
        datatype: header.datatype.name(),
        orientation: axis_codes(&header.world_from_voxel),
        min: some_finite.then_some(min),
        max: some_finite.then_some(max),
        sum,
        non_finite: volume.non_finite,
        shape: header.shape,
    })
}

/// Lists the cases of a folder, the meaning of their labels (`asked`, or from their names) and what
/// is wrong with which. A case that cannot be read, or has no information, is a problem and listed
/// among the cases as well: it is there.
///
/// # Errors
/// Those of [`discover_cases`].
pub fn inspect_folder(
    folder: &Path,
    depth: Depth,
    asked: Option<LabelScheme>,
) -> Result<FolderReport, CaseError> {
    let dataset = discover_cases(folder, asked)?;
    let mut problems: Vec<String> = dataset.problems.iter().map(ToString::to_string).collect();
    let examined = match depth {
        Depth::Names => Vec::new(),
        Depth::Voxels => examine_cases(&dataset.cases),
    };
    let mut examined = examined.into_iter();
    let mut cases = Vec::with_capacity(dataset.cases.len());
    for files in &dataset.cases {
        let examination = match examined.next() {
            Some(Ok(examination)) => {
                problems.extend(list_refusals(&examination, &files.id));
                Some(examination)
            }
            Some(Err(unreadable)) => {
                problems.push(unreadable.to_string());
                None
            }
            None => None,
        };
        cases.push(CaseReport {
            id: files.id.to_string(),
            grade: files.grade,
            labelled: files.labels.is_some(),
            examination,
            scheme: files.scheme,
        });
    }
    Ok(FolderReport {
        layout: dataset.layout,
        scheme: dataset.labels.scheme,
        scheme_reason: dataset.labels.reason,
        cases,
        problems,
    })
}

/// Errors that refuse a case unless `data.quality` says otherwise.
fn list_refusals<'a>(
    examination: &'a CaseExamination,
    id: &'a CaseId,
) -> impl Iterator<Item = String> + 'a {
    let refused = examination.findings.iter().filter(|located| {
        QualityPolicy::default().decide_on(located.finding.severity) == Consequence::Refuse
    });
    refused.map(move |located| {
        located.finding.clone().into_error(&located.file).of_case(id).to_string()
    })
}
