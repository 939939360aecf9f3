//! What is in a file or a folder, as data: the command line prints it.

use std::path::Path;

use serde::Serialize;

use crate::base::error::CaseError;
use crate::brats::case::read_case;
use crate::brats::dataset::{Grade, discover};
use crate::brats::layout::Layout;
use crate::brats::orient::axis_codes;
use crate::brats::read::read_volume;
use crate::volume::region::LabelScheme;

/// One NIfTI file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileReport {
    /// As asked for.
    pub path: String,
    /// Extent as in the file, fastest axis first.
    pub shape: Vec<usize>,
    /// Voxel edges in mm, fastest axis first.
    pub spacing_mm: [f64; 3],
    /// Voxel to world, RAS+, in mm.
    pub affine: [[f64; 4]; 4],
    /// Type of the stored voxels: `int16`.
    pub datatype: &'static str,
    /// Where the file's axes run to: `LPS`.
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

/// One case of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// Its name.
    pub id: String,
    /// Where the folders say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grade: Option<Grade>,
    /// Whether it has labels.
    pub labelled: bool,
}

/// A dataset's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FolderReport {
    /// The naming of most cases.
    pub layout: Layout,
    /// What label values mean in it.
    pub scheme: LabelScheme,
    /// Complete cases.
    pub cases: Vec<CaseReport>,
    /// What is wrong with which, one sentence each.
    pub problems: Vec<String>,
}

/// How far a folder is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// File names only.
    Names,
    /// Every file is read: headers, checksums, agreement, labels.
    Voxels,
}

/// Reads a file and describes it.
///
/// # Errors
/// As [`read_volume`].
pub fn inspect_file(path: &Path) -> Result<FileReport, CaseError> {
    let volume = read_volume(path)?;
    let header = volume.header;
    let (mut min, mut max, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    for value in volume.voxels.iter().filter(|value| value.is_finite()) {
        min = min.min(value);
        max = max.max(value);
        sum += value;
    }
    let some_finite = volume.non_finite < volume.voxels.len();
    Ok(FileReport {
        path: path.display().to_string(),
        spacing_mm: header.spacing_mm,
        affine: header.affine.0,
        datatype: header.datatype.name(),
        orientation: axis_codes(&header.affine),
        min: some_finite.then_some(min),
        max: some_finite.then_some(max),
        sum,
        non_finite: volume.non_finite,
        shape: header.shape,
    })
}

/// Lists the cases of a folder and what is wrong with which. A case that cannot be read is listed
/// among the cases as well: it is there.
///
/// # Errors
/// As [`discover`].
pub fn inspect_folder(folder: &Path, depth: Depth) -> Result<FolderReport, CaseError> {
    let dataset = discover(folder)?;
    let mut problems: Vec<String> = dataset.problems.iter().map(ToString::to_string).collect();
    if depth == Depth::Voxels {
        let unreadable = dataset.cases.iter().filter_map(|files| read_case(files).err());
        problems.extend(unreadable.map(|error| error.to_string()));
    }
    let cases = dataset.cases.iter().map(|files| CaseReport {
        id: files.id.to_string(),
        grade: files.grade,
        labelled: files.labels.is_some(),
    });
    let (layout, scheme) = (dataset.layout, dataset.scheme);
    Ok(FolderReport { layout, scheme, cases: cases.collect(), problems })
}
