//! Reports on a NIfTI file or a dataset's folder, as data: the command line prints them.

use std::ops::Add;
use std::path::Path;

use serde::Serialize;

use crate::base::CaseError;
use crate::brats::read::RawVolume;
use crate::brats::region_table::ignored_values;
use crate::brats::{
    CaseExamination, DatasetDescription, Layout, RegionReport, SchemeReason, TumourGrade,
    axis_codes, discover_described_cases, examine_cases, narrow,
};
use crate::buffers::CaseBuffers;
use crate::quality::{Consequence, QualityPolicy};
use crate::volume::{CaseId, LabelScheme, ModalitySet};

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
    /// Layout of most cases.
    pub layout: Layout,
    /// Reason why it is that layout.
    pub layout_reason: String,
    /// Public pages and code that state the layout's names and labels; empty for one that is unproved.
    pub sources: Vec<String>,
    /// Meaning of its label values.
    pub scheme: LabelScheme,
    /// Source of that meaning.
    pub scheme_reason: SchemeReason,
    /// Modalities that the layout names.
    pub modalities: ModalitySet,
    /// Regions of the labels, in the order in which they become labels.
    pub regions: Vec<RegionReport>,
    /// Label values that count in no loss and no score.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored_values: Vec<u8>,
    /// Complete cases.
    pub cases: Vec<CaseReport>,
    /// Problems, a sentence each.
    pub problems: Vec<String>,
    /// Description of the layout, to be written as a file.
    #[serde(skip)]
    pub description: DatasetDescription,
}

/// Depth of an inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// File names only.
    Names,
    /// Every file is read: headers, checksums, agreement, labels, and the quality of the images.
    Voxels,
}

/// Reads a file of up to `max_voxels` and describes it. No voxel is kept: the memory is that of the
/// file as it is on the disk.
///
/// # Errors
/// Those of [`read_volume`](crate::brats::read::read_volume).
pub fn inspect_file(path: &Path, max_voxels: usize) -> Result<FileReport, CaseError> {
    let packed = RawVolume::read(path, max_voxels, &CaseBuffers::default())?;
    let mut min = f64::INFINITY;
    let mut max = f64::NEG_INFINITY;
    let mut sum = 0.0;
    let mut non_finite = 0;
    narrow::visit_values(&packed, |value| {
        if value.is_finite() {
            min = min.min(value);
            max = max.max(value);
            sum += value;
        } else {
            non_finite += 1;
        }
    })?;
    let header = packed.header;
    let some_finite = non_finite < header.voxel_count();
    Ok(FileReport {
        path: path.display().to_string(),
        spacing_mm: header.spacing_mm,
        affine: header.world_from_voxel.0,
        datatype: header.datatype.name(),
        orientation: axis_codes(&header.world_from_voxel),
        min: some_finite.then_some(min),
        max: some_finite.then_some(max),
        sum,
        non_finite,
        shape: header.shape,
    })
}

/// Lists the cases of a folder in the layout of the file `described` or the one that is found, the meaning
/// of their labels (`asked`, or as the layout tells) and what is wrong with which; volumes may have up to
/// `max_voxels`. A case that cannot be read, or has no information, is a problem and listed
/// among the cases as well: it is there.
///
/// # Errors
/// Those of [`discover_described_cases`].
pub fn inspect_folder(
    folder: &Path,
    described: Option<&Path>,
    depth: Depth,
    asked: Option<LabelScheme>,
    max_voxels: usize,
) -> Result<FolderReport, CaseError> {
    let dataset = discover_described_cases(folder, described, asked)?.with_max_voxels(max_voxels);
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
    let scheme = dataset.labels.scheme;
    let mut regions = RegionReport::list_regions(scheme, dataset.description.regions_of(scheme));
    for report in &mut regions {
        let counted =
            cases.iter().filter_map(|case| case.examination.as_ref()?.region_voxels.as_ref());
        report.voxels = counted.filter_map(|own| own.get(report.region).copied()).reduce(u64::add);
    }
    Ok(FolderReport {
        modalities: dataset.description.modality_set(),
        regions,
        ignored_values: ignored_values(scheme),
        layout: dataset.layout,
        layout_reason: dataset.layout_reason,
        sources: dataset.description.sources.clone(),
        scheme,
        scheme_reason: dataset.labels.reason,
        cases,
        problems,
        description: dataset.description.with_scheme(asked),
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::brats::{DEFAULT_MAX_VOXELS, read_volume};

    /// File of so many voxels in a row, after a header with this type and scaling.
    fn file(code: i16, bits: i16, count: i16, slope: f32, voxels: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0u8; 352];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &348i32.to_le_bytes());
        put(40, [3, count, 1, 1, 1, 1, 1, 1i16].map(i16::to_le_bytes).as_flattened());
        put(70, &code.to_le_bytes());
        put(72, &bits.to_le_bytes());
        put(76, [1f32; 8].map(f32::to_le_bytes).as_flattened());
        put(108, &352f32.to_le_bytes());
        put(112, &slope.to_le_bytes());
        put(116, &(-3f32).to_le_bytes());
        put(344, b"n+1\0");
        bytes.extend_from_slice(voxels);
        bytes
    }

    #[test]
    fn the_figures_of_a_stream_are_those_of_the_whole_volume() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii");
        // More than a piece of the stream, and bytes that are numbers of any type.
        let noise: Vec<u8> = (0..20_000u64 * 8).map(|i| (i * i * 7 + i / 3) as u8).collect();
        let types = [(2, 8), (256, 8), (4, 16), (512, 16), (8, 32), (768, 32), (16, 32), (64, 64)];
        for (code, bits) in types.into_iter().chain([(1024, 64), (1280, 64)]) {
            for slope in [0.0, 0.37] {
                let voxels = &noise[..20_000 * bits as usize / 8];
                fs::write(&path, file(code, bits, 20_000, slope, voxels)).unwrap();
                let whole = read_volume(&path).unwrap();
                let found = inspect_file(&path, DEFAULT_MAX_VOXELS).unwrap();
                let finite = || whole.voxels.iter().filter(|value| value.is_finite());
                let sum = finite().fold(0.0, |sum, value| sum + value);
                assert_eq!(found.sum.to_bits(), sum.to_bits(), "type {code}, slope {slope}");
                assert_eq!(found.min, finite().reduce(f64::min), "type {code}, slope {slope}");
                assert_eq!(found.max, finite().reduce(f64::max), "type {code}, slope {slope}");
                assert_eq!(found.non_finite, whole.non_finite, "type {code}, slope {slope}");
            }
        }
    }

    #[test]
    fn a_giant_is_refused_by_its_header_and_a_long_file_by_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii");
        fs::write(&path, file(4, 16, 3000, 0.0, &[0; 6000])).unwrap();
        assert!(inspect_file(&path, 3000).is_ok());
        let refused = inspect_file(&path, 2999).unwrap_err().to_string();
        assert!(refused.contains("a.nii: dim: is 3000x1x1: 3000 voxels, the limit is 2999"));
        // A file of holes: nothing of it may be read, or this takes minutes.
        fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let refused = inspect_file(&path, 3000).unwrap_err().to_string();
        assert!(refused.contains("1099511627776 bytes, more than 3000 voxels take"), "{refused}");
    }
}
