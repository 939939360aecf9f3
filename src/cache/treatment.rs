//! Treatment of a case's intensities before they are encoded: what is background, and what is clipped.
//!
//! Whole numbers of 16 bits around a background of 0, which is nearly all MRI, are recognised by the
//! faces of the grid and stored as they are; what is to be told about them follows from the counts
//! that their statistics are made of. Every other image is measured first ([`crate::quality`]).

use crate::base::{CaseError, Reason};
use crate::cache::brain_box::SplitLabels;
use crate::cache::{
    BackgroundBasis, Clipping, IntensityStats, ModalityRecord, PreprocessConfig, RawVoxel,
    TissueCounts,
};
use crate::quality::{
    BackgroundRange, CaseQuality, CertainTissue, ClipLimits, Consequence, ForegroundRule,
    ImageQuality, QualityFinding, QualityPolicy, Severity, TumourPlaces,
};
use crate::volume::{Case, Dims, Modality, Voxels, label};

/// Treatment of one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageTreatment {
    /// Values that are background.
    pub background: BackgroundRange,
    /// Limits that tissue is clipped to.
    pub clip: Option<ClipLimits>,
    /// Reason why they are.
    pub basis: BackgroundBasis,
}

impl ImageTreatment {
    /// Background 0, and tissue as it is.
    pub const KEEP: Self =
        Self { background: BackgroundRange::ZERO, clip: None, basis: BackgroundBasis::Zero };

    fn from_quality(image: &ImageQuality, rule: &ForegroundRule, policy: QualityPolicy) -> Self {
        let background = image.background_range();
        let basis = match rule {
            ForegroundRule::Threshold => BackgroundBasis::Threshold,
            ForegroundRule::Mask(_) => BackgroundBasis::Mask,
            _ if background == BackgroundRange::ZERO => BackgroundBasis::Zero,
            _ => BackgroundBasis::Found,
        };
        // Whole numbers around 0 lose nothing to a spike: they are stored as they are.
        let clips = policy == QualityPolicy::Clip && !image.is_kept_exactly();
        Self { background, clip: image.clip.filter(|_| clips), basis }
    }

    /// Intensity that a value is stored as, if it is tissue; a mask, if there is one, says where that is.
    pub(super) fn tissue_intensity(&self, value: f64, in_mask: Option<bool>) -> Option<f64> {
        let is_tissue = match in_mask {
            Some(in_mask) => in_mask && value.is_finite(),
            None => !self.background.contains(value),
        };
        let limits = self.clip.map_or((f64::MIN, f64::MAX), |clip| (clip.low, clip.high));
        is_tissue.then(|| value.clamp(limits.0, limits.1))
    }

    /// Returns the record of the treatment for the case file.
    pub fn to_record(self) -> ModalityRecord {
        ModalityRecord {
            background: self.background.value,
            background_margin: self.background.margin,
            background_zeros: self.background.with_zeros,
            background_basis: self.basis,
            clipping: self.clip.map(|clip| Clipping {
                low: clip.low,
                high: clip.high,
                below: clip.below,
                above: clip.above,
            }),
        }
    }
}

/// Treatment of a case, and what the user is to be told about it.
pub struct CaseTreatment {
    /// Treatment of each image.
    pub images: [ImageTreatment; Modality::COUNT],
    /// Tissue beyond doubt of each image, where not all is.
    pub certain: CertainImages,
    /// Findings, a sentence each.
    pub findings: Vec<String>,
    /// True if no image had to be measured: [`measure_counted`] tells what there is to tell. Never so
    /// for a case that is resampled, whose codes are not the intensities.
    pub is_plain: bool,
}

/// Tissue beyond doubt of each image, where not all is.
pub type CertainImages = [Option<CertainTissue>; Modality::COUNT];

/// Decides the treatment of `case`, on its own grid, under the settings of foreground and quality.
///
/// # Errors
/// If an image has no information, or the settings refuse the case for another finding.
pub fn choose_treatment(
    case: &Case,
    config: &PreprocessConfig,
    is_resampled: bool,
) -> Result<CaseTreatment, CaseError> {
    let dims = case.dims();
    let is_kept = config.foreground == ForegroundRule::Nonzero
        && config.quality != QualityPolicy::Strict
        && case.images.iter().all(|voxels| is_whole_around_zero(voxels, dims));
    let is_plain = is_kept && !is_resampled;
    if is_plain {
        return Ok(CaseTreatment {
            images: [ImageTreatment::KEEP; Modality::COUNT],
            certain: [None; Modality::COUNT],
            findings: Vec::new(),
            is_plain,
        });
    }
    // Notes are about what is done to an image, and nothing is done to one that is kept.
    let least_told = if is_kept { Severity::Doubt } else { Severity::Note };
    let (quality, findings) = measure_quality(case, config, least_told)?;
    // A mask says itself where tissue is.
    let certain = match &config.foreground {
        ForegroundRule::Mask(_) => [None; Modality::COUNT],
        _ => quality.images.each_ref().map(ImageQuality::certain_tissue),
    };
    let images = Modality::ALL.map(|modality| {
        ImageTreatment::from_quality(
            &quality.images[modality.index()],
            &config.foreground,
            config.quality,
        )
    });
    Ok(CaseTreatment { images, certain, findings, is_plain })
}

/// Tissue beyond doubt, and what is to be told about a case whose images were stored as they are. Notes are left to `inspect --deep`, as nothing was done to the images.
pub fn measure_counted(
    case: &Case,
    counts: &TissueCounts,
    tumour: Option<TumourPlaces>,
) -> (CertainImages, Vec<String>) {
    let TissueCounts { codes, presence } = counts;
    let voxels = case.dims().voxel_count() as u64;
    let quality = CaseQuality::measure_counts(codes, presence, tumour, voxels);
    let findings = quality.list_findings_of(case.channels.modalities).into_iter();
    let told = findings.filter(|finding| finding.severity > Severity::Note);
    let told = told.map(|finding| format!("{}: {finding}", finding_subject(&finding))).collect();
    (quality.images.each_ref().map(ImageQuality::certain_tissue), told)
}

/// Places of the tumour in a case with interleaved `images` in its brain box, outside which no image has
/// tissue.
pub fn locate_tumour(labels: &SplitLabels, images: &[RawVoxel]) -> TumourPlaces {
    let is_tumour = |canonical: u8| canonical != label::IGNORE;
    let outside = labels.outside.iter().filter(|outside| is_tumour(outside.label)).count() as u64;
    let mut places = TumourPlaces { voxels: outside, in_background: outside };
    for (place, _) in labels.labelled_inside().filter(|(_, own)| is_tumour(*own)) {
        places.voxels += 1;
        places.in_background += u64::from(images[place] == [0; Modality::COUNT]);
    }
    places
}

fn finding_subject(finding: &QualityFinding) -> &'static str {
    finding.modality.map_or("seg", Modality::name)
}

/// Refuses a case with an image without information, by the statistics of what was stored.
///
/// # Errors
/// If the tissue of an image is empty or of one value, unless the settings take such images.
pub fn check_information(
    case: &Case,
    stats: &[IntensityStats; Modality::COUNT],
    config: &PreprocessConfig,
) -> Result<(), CaseError> {
    let mut own = case.channels.modalities.iter().map(|modality| &stats[modality.index()]);
    if config.quality == QualityPolicy::Warn || own.all(|stats| stats.sd > 0.0) {
        return Ok(());
    }
    measure_quality(case, config, Severity::Note).map(drop)
}

/// Measures a case; returns what is to be told about it, from a severity on.
fn measure_quality(
    case: &Case,
    config: &PreprocessConfig,
    least_told: Severity,
) -> Result<(CaseQuality, Vec<String>), CaseError> {
    let labels = case.labels.as_deref();
    let mask = case.mask.as_deref();
    let rule = &config.foreground;
    let quality = CaseQuality::measure_case(&case.images, labels, case.dims(), rule, mask);
    let mut told = Vec::new();
    if let ForegroundRule::Mask(ending) = rule
        && config.quality != QualityPolicy::Warn
        && quality.images.iter().all(|image| image.is_empty() || image.is_constant())
    {
        return Err(misplaced_mask(ending, &quality).of_case(&case.id));
    }
    for finding in quality.list_findings_of(case.channels.modalities) {
        let subject = finding_subject(&finding);
        if config.quality.decide_on(finding.severity) == Consequence::Refuse {
            return Err(finding.into_error(subject).of_case(&case.id));
        }
        if finding.severity >= least_told {
            told.push(format!("{subject}: {finding}"));
        }
    }
    Ok((quality, told))
}

/// Error of a mask under which no image shows anything: not the images' fault.
fn misplaced_mask(ending: &str, quality: &CaseQuality) -> CaseError {
    let voxels = quality.images.iter().map(|image| image.tissue.voxels).max().unwrap_or(0);
    CaseError::new(
        Reason::Format,
        format!("mask {ending}: voxels"),
        format!("every image has one value in all {voxels} that the mask calls tissue"),
        "check that the mask is this case's and lies on its brain, or set data.foreground to nonzero \
         or threshold",
    )
}

/// True for whole numbers of 16 bits with 0 at all corners of the grid and on most of the faces whose
/// rows lie together in memory.
fn is_whole_around_zero(voxels: &Voxels, dims: Dims) -> bool {
    let Voxels::I16(values) = voxels else { return false };
    let corners_are_zero = (0..8).all(|corner: usize| {
        let at = std::array::from_fn(|axis| (corner >> axis & 1) * (dims.0[axis] - 1));
        values[dims.offset_from_zyx(at)] == 0
    });
    if !corners_are_zero {
        return false;
    }
    let [depth, height, width] = dims.0;
    let slice = height * width;
    let row = |z: usize, y: usize| z * slice + y * width..z * slice + (y + 1) * width;
    let ends = [0..slice, (depth - 1) * slice..depth * slice].into_iter().take(depth);
    let sides = (1..depth.saturating_sub(1))
        .flat_map(|z| [row(z, 0), row(z, height - 1)].into_iter().take(height));
    let on_faces: usize = ends.clone().chain(sides.clone()).map(|face| face.len()).sum();
    let mut zeros = 0;
    // The whole slices come first, and as a rule they decide.
    ends.chain(sides).any(|face| {
        zeros += count_zeros(&values[face]);
        2 * zeros >= on_faces
    })
}

/// Counts zeros, in sums narrow enough for vector registers.
fn count_zeros(values: &[i16]) -> usize {
    let count_run = |run: &[i16]| run.iter().map(|value| u16::from(*value == 0)).sum::<u16>();
    values.chunks(usize::from(u16::MAX)).map(|run| usize::from(count_run(run))).sum()
}

#[cfg(test)]
#[path = "treatment_tests.rs"]
mod tests;
