//! Treatment of a case's intensities before they are encoded: what is background, and what is clipped.
//!
//! Whole numbers of 16 bits around a background of 0, which is nearly all MRI, are recognised by the
//! corners of the grid and stored as they are, without another look at their voxels. Every other
//! image is measured first ([`crate::quality`]).

use crate::base::CaseError;
use crate::cache::{BackgroundBasis, Clipping, IntensityStats, ModalityRecord, PreprocessConfig};
use crate::quality::{
    BackgroundRange, CaseQuality, ClipLimits, Consequence, ForegroundRule, ImageQuality,
    QualityPolicy,
};
use crate::volume::{Case, Dims, Modality, Voxels};

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

    /// Returns the record of the treatment for the case file.
    pub fn to_record(&self) -> ModalityRecord {
        ModalityRecord {
            background: self.background.value,
            background_margin: self.background.margin,
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
    /// Findings, a sentence each; empty where no image had to be measured.
    pub findings: Vec<String>,
}

/// Decides the treatment of `case` under the settings of foreground and quality.
///
/// # Errors
/// If an image has no information, or the settings refuse the case for another finding.
pub fn choose_treatment(
    case: &Case,
    config: &PreprocessConfig,
) -> Result<CaseTreatment, CaseError> {
    let dims = case.dims();
    let is_plain = config.foreground == ForegroundRule::Nonzero
        && config.quality != QualityPolicy::Strict
        && case.images.iter().all(|voxels| is_whole_around_zero(voxels, dims));
    if is_plain {
        let images = [ImageTreatment::KEEP; Modality::COUNT];
        return Ok(CaseTreatment { images, findings: Vec::new() });
    }
    let (quality, findings) = measure_quality(case, config)?;
    let images = Modality::ALL.map(|modality| {
        ImageTreatment::from_quality(
            &quality.images[modality.index()],
            &config.foreground,
            config.quality,
        )
    });
    Ok(CaseTreatment { images, findings })
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
    if config.quality == QualityPolicy::Warn || stats.iter().all(|stats| stats.sd > 0.0) {
        return Ok(());
    }
    measure_quality(case, config).map(drop)
}

/// Measures a case; returns what is to be told about it.
fn measure_quality(
    case: &Case,
    config: &PreprocessConfig,
) -> Result<(CaseQuality, Vec<String>), CaseError> {
    let labels = case.labels.as_deref();
    let mask = case.mask.as_deref();
    let rule = &config.foreground;
    let quality = CaseQuality::measure_case(&case.images, labels, case.dims(), rule, mask);
    let mut told = Vec::new();
    for finding in quality.list_findings() {
        let subject = finding.modality.map_or("seg", Modality::name);
        if config.quality.decide_on(finding.severity) == Consequence::Refuse {
            return Err(finding.into_error(subject).of_case(&case.id));
        }
        told.push(format!("{subject}: {finding}"));
    }
    Ok((quality, told))
}

/// True for whole numbers of 16 bits with 0 at all corners of the grid.
fn is_whole_around_zero(voxels: &Voxels, dims: Dims) -> bool {
    let Voxels::I16(values) = voxels else { return false };
    (0..8).all(|corner: usize| {
        let at = std::array::from_fn(|axis| (corner >> axis & 1) * (dims.0[axis] - 1));
        values[dims.offset_from_zyx(at)] == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Fingerprint, Reason};
    use crate::buffers::CaseBuffers;
    use crate::cache::{CaseContents, prepare_in_buffers};
    use crate::volume::{Affine, Box3, CaseId, LabelScheme, SourceGrid};

    const DIMS: Dims = Dims([20, 20, 20]);
    const BRAIN: Box3 = Box3 { start: [4, 5, 6], dims: Dims([12, 11, 10]) };

    /// Intensity of a voxel: 0 around a brain of 100 to 500.
    fn intensity(place: usize, modality: usize) -> f64 {
        let inside = BRAIN.contains_voxel(DIMS.zyx_from_offset(place));
        if inside { (100 + (place * (3 + 2 * modality)) % 401) as f64 } else { 0.0 }
    }

    /// The clean case with T1ce changed.
    fn case_with(change: impl Fn(usize, f64) -> f64) -> Case {
        let image = |modality: usize| {
            let values = (0..DIMS.voxel_count()).map(|place| intensity(place, modality));
            if modality != Modality::T1ce.index() {
                return Voxels::I16(values.map(|value| value as i16).collect());
            }
            let values: Vec<f64> =
                values.enumerate().map(|(place, value)| change(place, value)).collect();
            let whole = values.iter().all(|value| f64::from(*value as i16) == *value);
            match whole {
                true => Voxels::I16(values.into_iter().map(|value| value as i16).collect()),
                false => Voxels::F64(values),
            }
        };
        Case {
            id: CaseId::new("c"),
            source: SourceGrid::canonical(DIMS, Affine([[1.0; 4]; 4])),
            images: [0, 1, 2, 3].map(image),
            labels: None,
            mask: None,
            scheme: LabelScheme::Brats2018,
            fingerprint: Fingerprint([1; 16]),
            bytes_read: 0,
        }
    }

    fn prepared(case: &Case, quality: QualityPolicy) -> Result<CaseContents, CaseError> {
        prepare_in_buffers(
            &CaseBuffers::default(),
            case,
            &PreprocessConfig { quality, ..PreprocessConfig::default() },
        )
    }

    /// z-scores of T1ce.
    fn z_scores(contents: &CaseContents) -> Vec<f64> {
        let t1ce = Modality::T1ce.index();
        let (factor, offset) = contents.stats[t1ce].z_score_coefficients(&contents.scales[t1ce]);
        let raw = contents.images.iter().map(|voxel| voxel[t1ce]);
        raw.map(|raw| if raw == 0 { 0.0 } else { factor * f64::from(raw) + offset }).collect()
    }

    fn largest_difference(a: &CaseContents, b: &CaseContents) -> f64 {
        assert_eq!(a.brain, b.brain);
        let pairs = z_scores(a).into_iter().zip(z_scores(b));
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn a_clean_case_is_kept_as_it_is_without_a_look_at_its_voxels() {
        let case = case_with(|_, value| value);
        let treatment = choose_treatment(&case, &PreprocessConfig::default()).unwrap();
        assert_eq!(treatment.images, [ImageTreatment::KEEP; 4]);
        let contents = prepared(&case, QualityPolicy::Clip).unwrap();
        assert!(contents.findings.is_empty());
        assert_eq!(contents.brain, BRAIN);
        assert_eq!(contents.description.records, vec![ModalityRecord::default(); 4]);
    }

    #[test]
    fn what_surrounds_the_brain_and_a_spike_change_no_z_score_and_are_recorded() {
        let clean = prepared(&case_with(|_, value| value), QualityPolicy::Clip).unwrap();
        let of = |change: &dyn Fn(usize, f64) -> f64| {
            let contents = prepared(&case_with(change), QualityPolicy::Clip).unwrap();
            let record = contents.description.records[Modality::T1ce.index()];
            assert!(!contents.findings.is_empty());
            (largest_difference(&contents, &clean), record)
        };
        for shift in [-1024.0, 7.0] {
            let (off, record) =
                of(&|_, value| if value == 0.0 { shift } else { value + shift.min(0.0) });
            assert!(off < 1e-9, "{shift}: {off}");
            assert_eq!(
                (record.background, record.background_basis),
                (shift, BackgroundBasis::Found)
            );
        }
        // The lowest value of an image that was z-scored: 0 is tissue.
        let (off, record) = of(&|_, value| (value - 300.0) / 115.0);
        assert!(off < 1e-4, "{off}");
        assert_eq!(record.background, -300.0 / 115.0);
        let ringing = |place: usize, value: f64| {
            let near = (4..=17).contains(&DIMS.zyx_from_offset(place)[0]);
            if value == 0.0 && near { 0.4 * (place as f64).sin() } else { value }
        };
        let (off, record) = of(&ringing);
        assert!(off < 1e-4, "{off}");
        assert!(record.background_margin > 0.4 && record.background_margin < 5.0);
        let brightest = DIMS.offset_from_zyx([9, 9, 9]);
        let spiked = case_with(|place, value| if place == brightest { 1e7 + 0.5 } else { value });
        let contents = prepared(&spiked, QualityPolicy::Clip).unwrap();
        let clipping = contents.description.records[1].clipping.unwrap();
        assert_eq!((clipping.below, clipping.above), (0, 1));
        assert!((480.0..=500.0).contains(&clipping.high), "{clipping:?}");
        let [scale, stats] = [contents.scales[1].slope, contents.stats[1].sd];
        assert!(scale < 0.01 * stats, "a step of {scale} at a deviation of {stats}");
        let warned = prepared(&spiked, QualityPolicy::Warn).unwrap();
        assert_eq!(warned.description.records[1].clipping, None);
        assert!(warned.scales[1].slope > 100.0);
        assert!(warned.findings.iter().any(|told| told.starts_with("t1ce: range")));
    }

    #[test]
    fn an_image_without_information_is_refused_unless_it_is_asked_for() {
        for value in [0.0, 5.0] {
            let case = case_with(|_, own| if own == 0.0 { 0.0 } else { value });
            for quality in [QualityPolicy::Clip, QualityPolicy::Strict] {
                let error = prepared(&case, quality).unwrap_err();
                assert_eq!(error.reason, Reason::Format);
                assert!(error.to_string().starts_with("case c: t1ce: voxels: all"), "{error}");
            }
            prepared(&case, QualityPolicy::Warn).unwrap();
        }
    }
}
