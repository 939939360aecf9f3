//! Findings: what is wrong with a case, in words that name field, value and the way out.

use std::fmt;

use serde::Serialize;

use crate::base::{CaseError, Reason, format_percent};
use crate::quality::{CaseQuality, Certainty, ImageQuality};
use crate::volume::{Modality, ModalitySet};

/// Share of tissue above which an image has no background worth the name: a brain cropped to its box
/// leaves 45 % of the box.
const FULL_SHARE: f64 = 0.9;
/// Step of 16-bit codes above which an image has lost its information, as a share of the tissue's
/// standard deviation.
const COARSE_STEP: f64 = 0.01;
/// Multiple of the standard deviation that quartiles tell above which outliers decide what intensities are
/// normalised by. Brains have 0.9 to 1.8 (two patients of TCGA-LGG, eight images).
const OUTLIERS: f64 = 3.0;
/// Share of tissue at the highest value above which saturation has taken information away.
const SATURATED: f64 = 0.01;
/// Share of the brain that an image covers at least. Images of one case that were stripped with one
/// mask agree to 0.1 % (TCGA-LGG), a missing slab is a fifth.
const COVERED: f64 = 0.9;
/// Share of the tumour that may lie where all images are background: a rim of label voxels along the
/// mask's edge does.
const TUMOUR_OUTSIDE: f64 = 0.01;

/// Weight of a finding; `QualityPolicy` says what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, and taken care of.
    Note,
    /// Probably wrong, and not to be mended without the user.
    Doubt,
    /// A spike, which clipping mends.
    Clip,
    /// No information in the image.
    Refuse,
}

/// Kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FindingKind {
    /// Constant other than 0 around the head, beyond doubt.
    Background,
    /// Constant other than 0 around the head, in doubt.
    DoubtfulBackground,
    /// Nearly all voxels are tissue.
    NoBackground,
    /// Values near the background's around the brain.
    Ringing,
    /// NaN and infinities.
    NonFinite,
    /// No tissue.
    Empty,
    /// Tissue of one value.
    Constant,
    /// Range owned by a few voxels.
    Spike,
    /// Outliers that are too many to be spikes.
    Outliers,
    /// Too few 16-bit codes for the tissue.
    CoarseCodes,
    /// Many voxels at the highest value.
    Saturation,
    /// Tissue in a part of the brain only.
    PartialCoverage,
    /// Tumour where all images are background.
    TumourOutside,
}

/// Finding about a case or one of its images.
#[derive(derive_more::Display)]
#[display("{field}: {problem}; {remedy}")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QualityFinding {
    /// Kind.
    pub kind: FindingKind,
    /// Weight.
    pub severity: Severity,
    /// Modality concerned; absent where it is the labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modality: Option<Modality>,
    /// Field concerned.
    pub field: &'static str,
    /// Problem, with the value.
    pub problem: String,
    /// Action for the user.
    pub remedy: String,
}

impl QualityFinding {
    /// Makes the error of a case that is refused for this finding; `file` is the image's or the
    /// label file's.
    pub fn into_error(self, file: impl fmt::Display) -> CaseError {
        CaseError::new(Reason::Format, format!("{file}: {}", self.field), self.problem, self.remedy)
    }
}

/// The text of [`QualityFinding::into_error`], without a file.
impl CaseQuality {
    /// Lists what is wrong, images first, each in a fixed order.
    pub fn list_findings(&self) -> Vec<QualityFinding> {
        self.list_findings_of(ModalitySet::ALL)
    }

    /// Lists what is wrong with the images of these modalities, the ones that the case has, and with
    /// its labels.
    pub fn list_findings_of(&self, modalities: ModalitySet) -> Vec<QualityFinding> {
        let mut found = Vec::new();
        for modality in modalities.iter() {
            let image = &self.images[modality.index()];
            for mut finding in image_findings(image, self.coverage[modality.index()]) {
                finding.modality = Some(modality);
                found.push(finding);
            }
        }
        found.extend(self.tumour_outside());
        found
    }

    fn tumour_outside(&self) -> Option<QualityFinding> {
        let tumour = self.tumour.filter(|tumour| tumour.in_background > 0)?;
        let share = tumour.in_background as f64 / tumour.voxels as f64;
        Some(QualityFinding {
            kind: FindingKind::TumourOutside,
            severity: if share > TUMOUR_OUTSIDE { Severity::Doubt } else { Severity::Note },
            modality: None,
            field: "labels",
            problem: format!(
                "{} of {} tumour voxels ({}) lie where all images are background",
                tumour.in_background,
                tumour.voxels,
                format_percent(share)
            ),
            remedy: "check that labels and images are of one case and on one grid".into(),
        })
    }
}

fn image_findings(image: &ImageQuality, coverage: f64) -> Vec<QualityFinding> {
    let all = [
        background_finding(image),
        ringing_finding(image),
        non_finite_finding(image),
        content_finding(image),
        spike_finding(image),
        coarse_finding(image).or_else(|| outlier_finding(image)),
        saturation_finding(image),
        coverage_finding(image, coverage),
    ];
    all.into_iter().flatten().collect()
}

fn image_finding(
    kind: FindingKind,
    severity: Severity,
    field: &'static str,
    problem: String,
    remedy: &str,
) -> QualityFinding {
    QualityFinding { kind, severity, modality: None, field, problem, remedy: remedy.into() }
}

fn background_finding(image: &ImageQuality) -> Option<QualityFinding> {
    let background = &image.background;
    let where_found = format!(
        "{} at {} of 8 corners, on {} of the faces, in {} of the volume",
        background.surround,
        background.corners,
        format_percent(background.face_share),
        format_percent(background.share)
    );
    if background.certainty == Certainty::Certain && background.surround != 0.0 {
        return Some(image_finding(
            FindingKind::Background,
            Severity::Note,
            "background",
            format!("is {where_found}; {} voxels are 0", background.zeros),
            "taken as background; if it is tissue, set data.foreground to the ending of a brain mask",
        ));
    }
    let remedy = "set data.foreground = \"threshold\", or set the images to 0 outside the brain";
    if background.certainty == Certainty::Doubtful {
        let others = background.second.map_or_else(
            || format!("{} voxels are 0", background.zeros),
            |own| format!("{} in {} of the others", own.value, format_percent(own.share)),
        );
        let problem = format!("is in doubt: {where_found}; {others}");
        let kind = FindingKind::DoubtfulBackground;
        return Some(image_finding(kind, Severity::Doubt, "background", problem, remedy));
    }
    if image.tissue.share > FULL_SHARE {
        let problem = format!(
            "is hardly any: {} of the voxels count as tissue, {} are 0",
            format_percent(image.tissue.share),
            background.zeros
        );
        let kind = FindingKind::NoBackground;
        return Some(image_finding(kind, Severity::Doubt, "background", problem, remedy));
    }
    None
}

fn ringing_finding(image: &ImageQuality) -> Option<QualityFinding> {
    let background = &image.background;
    if background.ringing == 0 {
        return None;
    }
    let problem = format!(
        "rings: {} voxels are off {} by less than 0.5 % of the image's amplitude",
        background.ringing, background.surround
    );
    Some(if background.range.margin > 0.0 {
        let remedy = "taken as background; resample without overshoot, or mask the image";
        image_finding(FindingKind::Ringing, Severity::Note, "background", problem, remedy)
    } else {
        let remedy = "they count as tissue: set data.foreground = \"threshold\" to leave them out";
        image_finding(FindingKind::Ringing, Severity::Doubt, "background", problem, remedy)
    })
}

fn non_finite_finding(image: &ImageQuality) -> Option<QualityFinding> {
    (image.non_finite > 0).then(|| {
        image_finding(
            FindingKind::NonFinite,
            Severity::Note,
            "voxels",
            format!("{} of {} are NaN or infinite", image.non_finite, image.voxels),
            "they count as background; convert the file again if they lie in the brain",
        )
    })
}

fn content_finding(image: &ImageQuality) -> Option<QualityFinding> {
    let remedy =
        "replace the file, or leave the case out; data.quality = \"warn\" takes it as it is";
    if image.is_empty() {
        let problem = format!("all {} are background", image.voxels);
        return Some(image_finding(
            FindingKind::Empty,
            Severity::Refuse,
            "voxels",
            problem,
            remedy,
        ));
    }
    image.is_constant().then(|| {
        let problem = format!("all {} of tissue are {}", image.tissue.voxels, image.tissue.min);
        image_finding(FindingKind::Constant, Severity::Refuse, "voxels", problem, remedy)
    })
}

fn spike_finding(image: &ImageQuality) -> Option<QualityFinding> {
    let clip = image.clip?;
    let [low, .., high] = image.tissue.percentiles;
    let problem = format!(
        "{} to {}, but percentiles 0.5 and 99.5 are {low} and {high}: {} voxels are spikes",
        image.tissue.min,
        image.tissue.max,
        clip.below + clip.above
    );
    if image.is_kept_exactly() {
        let remedy = "whole numbers are stored as they are: clip the image yourself";
        return Some(image_finding(FindingKind::Spike, Severity::Doubt, "range", problem, remedy));
    }
    let remedy = format!(
        "data.quality = \"clip\" clips them to {} and {}, \"warn\" keeps them",
        clip.low, clip.high
    );
    Some(image_finding(FindingKind::Spike, Severity::Clip, "range", problem, &remedy))
}

fn outlier_finding(image: &ImageQuality) -> Option<QualityFinding> {
    (image.clip.is_none() && image.sd_of_quartiles > OUTLIERS).then(|| {
        image_finding(
            FindingKind::Outliers,
            Severity::Doubt,
            "range",
            format!(
                "the standard deviation, {:.4}, is {:.1} times that of the quartiles: outliers up to {} \
                 decide what the image is normalised by",
                image.tissue.sd, image.sd_of_quartiles, image.tissue.max
            ),
            "clip or mask the image yourself",
        )
    })
}

fn coarse_finding(image: &ImageQuality) -> Option<QualityFinding> {
    let step = image.code_step.filter(|step| *step > COARSE_STEP)?;
    Some(image_finding(
        FindingKind::CoarseCodes,
        Severity::Refuse,
        "range",
        format!(
            "{} to {} leaves 16-bit codes a step of {} of the tissue's standard deviation",
            image.tissue.min,
            image.tissue.max,
            format_percent(step)
        ),
        "too many voxels are far out to be spikes: clip or mask the image yourself; \
         data.quality = \"warn\" takes it as it is",
    ))
}

fn saturation_finding(image: &ImageQuality) -> Option<QualityFinding> {
    let saturation = image.saturation?;
    let share = saturation.voxels as f64 / image.tissue.voxels as f64;
    Some(image_finding(
        FindingKind::Saturation,
        if share > SATURATED { Severity::Doubt } else { Severity::Note },
        "voxels",
        format!(
            "{} ({} of tissue) are at the highest value, {}: saturated",
            saturation.voxels,
            format_percent(share),
            saturation.value
        ),
        "convert the file again with a wider type or a smaller slope",
    ))
}

fn coverage_finding(image: &ImageQuality, coverage: f64) -> Option<QualityFinding> {
    (!image.is_empty() && coverage < COVERED).then(|| {
        image_finding(
            FindingKind::PartialCoverage,
            Severity::Doubt,
            "voxels",
            format!(
                "tissue covers {} of the brain that the other images show",
                format_percent(coverage)
            ),
            "check the field of view and the brain mask of this image",
        )
    })
}
