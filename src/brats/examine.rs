//! Examination of cases: every file is read and every image measured. Several cases at a time, each
//! in memory only while it is measured, so that a whole dataset needs no more than a few cases do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use crate::base::{CaseError, core_count};
use crate::brats::{CaseFiles, CaseReader};
use crate::buffers::CaseBuffers;
use crate::quality::{CaseQuality, ForegroundRule, ImageQuality, QualityFinding, TumourPlaces};
use crate::volume::{Modality, Region, RegionSet};

/// Cases that are in memory at once at most: 0.1 GB each where images are int16, as in BraTS, 0.5 GB
/// where they are double precision.
const MAX_CASES_AT_ONCE: usize = 4;

/// Image of a case with its quality.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExaminedImage {
    /// Modality.
    pub modality: Modality,
    /// File name, without its folder.
    pub file: String,
    /// Share of the brain that its tissue covers.
    pub coverage: f64,
    /// Quality.
    #[serde(flatten)]
    pub quality: ImageQuality,
}

/// Finding with the file that it is about.
#[derive(derive_more::Display)]
#[display("{file}: {finding}")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LocatedFinding {
    /// File, as a path.
    pub file: String,
    /// Finding.
    #[serde(flatten)]
    pub finding: QualityFinding,
}

/// Measurements of a case that could be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseExamination {
    /// Images, in the order of [`Modality::ALL`].
    pub images: Vec<ExaminedImage>,
    /// Places of the tumour; absent for unlabelled cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tumour: Option<TumourPlaces>,
    /// Voxels of each region, by its name; absent for unlabelled cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region_voxels: Option<BTreeMap<&'static str, u64>>,
    /// Findings, images first.
    pub findings: Vec<LocatedFinding>,
}

/// Reads and measures `cases`, under the rule that 0 is background; results are in their order.
pub fn examine_cases(cases: &[CaseFiles]) -> Vec<Result<CaseExamination, CaseError>> {
    let next = AtomicUsize::new(0);
    let examine_next_cases = || {
        let buffers = CaseBuffers::for_cases(1);
        let mut examined = Vec::new();
        while let Some((place, files)) = next_case(cases, &next) {
            examined.push((place, examine_case(files, &buffers)));
        }
        examined
    };
    let workers = core_count().min(MAX_CASES_AT_ONCE).min(cases.len());
    let mut examined = thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(examine_next_cases)).collect();
        let mut examined = examine_next_cases();
        for other in others {
            match other.join() {
                Ok(part) => examined.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        examined
    });
    examined.sort_unstable_by_key(|(place, _)| *place);
    examined.into_iter().map(|(_, result)| result).collect()
}

fn next_case<'a>(cases: &'a [CaseFiles], next: &AtomicUsize) -> Option<(usize, &'a CaseFiles)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    cases.get(place).map(|files| (place, files))
}

fn examine_case(files: &CaseFiles, buffers: &CaseBuffers) -> Result<CaseExamination, CaseError> {
    let case = CaseReader::new(buffers.clone()).read(files)?;
    let rule = ForegroundRule::default();
    let quality =
        CaseQuality::measure_case(&case.images, case.labels.as_deref(), case.dims(), &rule, None);
    let regions = files.channels.regions;
    let region_voxels = case.labels.as_deref().map(|labels| count_region_voxels(labels, regions));
    buffers.give_back_case(case);
    let modalities = files.channels.modalities;
    let findings = quality.list_findings_of(modalities).into_iter().map(|finding| {
        let path = finding.modality.map(|modality| &files.images[modality.index()]);
        let file = path.or(files.labels.as_ref()).map(|path| path.display().to_string());
        LocatedFinding { file: file.unwrap_or_default(), finding }
    });
    let findings = findings.collect();
    let CaseQuality { images, coverage, tumour } = quality;
    let images = Modality::ALL.into_iter().zip(images);
    let images = images.filter(|(modality, _)| modalities.contains(*modality));
    let images = images.map(|(modality, quality)| ExaminedImage {
        modality,
        file: file_name(&files.images[modality.index()]),
        coverage: coverage[modality.index()],
        quality,
    });
    Ok(CaseExamination { images: images.collect(), tumour, region_voxels, findings })
}

fn count_region_voxels(labels: &[u8], regions: RegionSet) -> BTreeMap<&'static str, u64> {
    let mut counts = [0u64; 256];
    labels.iter().for_each(|own| counts[usize::from(*own)] += 1);
    let voxels = |region: Region| region.labels().iter().map(|own| counts[usize::from(*own)]).sum();
    regions.iter().map(|region| (region.name(), voxels(region))).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
