//! Quality of a case: its images one by one, and against each other and the labels.

use serde::Serialize;

use crate::quality::{ForegroundRule, ImageQuality};
use crate::volume::{Dims, Modality, Voxels, label};

/// Images whose tissue makes a voxel part of the brain, as seen beside one image: two of the three
/// others, so that one image that is not stripped does not make the others look cut off.
const WITNESSES: u32 = 2;

/// Sets of images.
pub const MARKS: usize = 1 << Modality::COUNT;

/// Labelled voxels where no image has tissue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TumourPlaces {
    /// Labelled voxels.
    pub voxels: u64,
    /// Labelled voxels where all images are background.
    pub in_background: u64,
}

/// Quality of a case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseQuality {
    /// Quality of the images, in the order of [`Modality::ALL`].
    pub images: [ImageQuality; Modality::COUNT],
    /// Share of the brain that each image's tissue covers; the brain is where two of the others have
    /// tissue. 1 where they have none.
    pub coverage: [f64; Modality::COUNT],
    /// Places of the tumour; absent for unlabelled cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tumour: Option<TumourPlaces>,
}

impl CaseQuality {
    /// Measures the images of a case, and `labels` if there are any (each `[d, h, w]`; 0 is no
    /// tumour). Under a rule that names a mask, `mask` says where tissue is.
    ///
    /// # Panics
    /// If a volume has not as many voxels as `dims` says.
    pub fn measure_case(
        images: &[Voxels; Modality::COUNT],
        labels: Option<&[u8]>,
        dims: Dims,
        rule: &ForegroundRule,
        mask: Option<&[u8]>,
    ) -> Self {
        let measured = Modality::ALL.map(|modality| {
            ImageQuality::measure_image(&images[modality.index()], dims, rule, mask)
        });
        let presence = mark_tissue(images, &measured, mask);
        let mut tally = [0; MARKS];
        presence.iter().for_each(|marks| tally[usize::from(*marks)] += 1);
        Self {
            coverage: Modality::ALL.map(|modality| brain_coverage(&tally, modality)),
            tumour: labels.map(|labels| locate_tumour(labels, &presence)),
            images: measured,
        }
    }

    /// Measures a case of `voxels` whole numbers an image with 0 around the head, by the ascending
    /// values of each image that are not 0 with their counts, and by the number of voxels with tissue
    /// in each set of images: bit m of an index stands for modality m.
    pub fn measure_counts(
        counts: &[Vec<(i16, u32)>; Modality::COUNT],
        presence: &[u64; MARKS],
        tumour: Option<TumourPlaces>,
        voxels: u64,
    ) -> Self {
        Self {
            images: counts.each_ref().map(|own| ImageQuality::measure_counts(own, voxels)),
            coverage: Modality::ALL.map(|modality| brain_coverage(presence, modality)),
            tumour,
        }
    }
}

/// Bit m of each voxel: modality m has tissue there.
fn mark_tissue(
    images: &[Voxels; Modality::COUNT],
    measured: &[ImageQuality; Modality::COUNT],
    mask: Option<&[u8]>,
) -> Vec<u8> {
    let mut presence = vec![0u8; images[0].len()];
    for modality in Modality::ALL {
        let range = measured[modality.index()].background_range();
        let bit = 1 << modality.index();
        for (place, (marks, value)) in
            presence.iter_mut().zip(images[modality.index()].iter()).enumerate()
        {
            let tissue = match mask {
                Some(mask) => mask[place] != 0 && value.is_finite(),
                None => !range.contains(value),
            };
            *marks |= if tissue { bit } else { 0 };
        }
    }
    presence
}

fn brain_coverage(presence: &[u64; MARKS], modality: Modality) -> f64 {
    let own = 1usize << modality.index();
    let mut brain = 0u64;
    let mut covered = 0u64;
    for (marks, voxels) in presence.iter().enumerate() {
        if (marks & !own).count_ones() >= WITNESSES {
            brain += voxels;
            covered += if marks & own != 0 { *voxels } else { 0 };
        }
    }
    if brain == 0 { 1.0 } else { covered as f64 / brain as f64 }
}

fn locate_tumour(labels: &[u8], presence: &[u8]) -> TumourPlaces {
    assert_eq!(labels.len(), presence.len(), "one label per voxel");
    let mut places = TumourPlaces::default();
    let is_tumour = |canonical: u8| canonical != label::BACKGROUND && canonical != label::IGNORE;
    for (_, marks) in labels.iter().zip(presence).filter(|(own, _)| is_tumour(**own)) {
        places.voxels += 1;
        places.in_background += u64::from(*marks == 0);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::{FindingKind, QualityFinding, Severity};

    const DIMS: Dims = Dims([100, 10, 10]);
    const FIRST: usize = 1000;
    const TISSUE: usize = 4000;

    fn image(scale: f64) -> Vec<f64> {
        let value = |place: usize| {
            let number = place.wrapping_sub(FIRST);
            if number < TISSUE { scale * (100 + number % 400) as f64 } else { 0.0 }
        };
        (0..DIMS.voxel_count()).map(value).collect()
    }

    fn clean() -> [Vec<f64>; 4] {
        [1.5, 2.5, 0.5, 1.0].map(image)
    }

    fn labels(places: impl Iterator<Item = usize>) -> Vec<u8> {
        let mut labels = vec![0; DIMS.voxel_count()];
        places.for_each(|place| labels[place] = 2);
        labels
    }

    fn measured(images: [Vec<f64>; 4], labels: Option<&[u8]>) -> CaseQuality {
        let images = images.map(Voxels::F64);
        CaseQuality::measure_case(&images, labels, DIMS, &ForegroundRule::Nonzero, None)
    }

    fn findings(images: [Vec<f64>; 4], labels: Option<&[u8]>) -> Vec<QualityFinding> {
        measured(images, labels).list_findings()
    }

    /// The one finding of the clean case with its T1ce changed.
    fn only(change: impl Fn(&mut Vec<f64>)) -> QualityFinding {
        let mut images = clean();
        change(&mut images[Modality::T1ce.index()]);
        let mut found = findings(images, None);
        assert_eq!(found.len(), 1, "{found:?}");
        let finding = found.pop().unwrap();
        assert_eq!(finding.modality, Some(Modality::T1ce));
        finding
    }

    fn kind_and_severity(finding: &QualityFinding) -> (FindingKind, Severity) {
        (finding.kind, finding.severity)
    }

    #[test]
    fn a_clean_case_has_no_finding() {
        let tumour = labels(FIRST..FIRST + 500);
        assert_eq!(findings(clean(), Some(&tumour)), []);
        assert_eq!(findings(clean(), None), []);
    }

    #[test]
    fn each_flaw_of_an_image_is_named_with_value_and_way_out() {
        use FindingKind::{Background, CoarseCodes, Constant, Empty, NonFinite, Ringing, Spike};
        let seen = only(|image| {
            image.iter_mut().filter(|v| **v == 0.0).for_each(|v| *v = -1024.0);
        });
        assert_eq!(kind_and_severity(&seen), (Background, Severity::Note));
        assert!(seen.to_string().contains("background: is -1024 at 8 of 8 corners, on "));
        assert!(seen.to_string().contains("0 voxels are 0; taken as background"), "{seen}");

        let seen = only(|image| image.fill(0.0));
        assert_eq!(kind_and_severity(&seen), (Empty, Severity::Refuse));
        let seen = only(|image| image.iter_mut().for_each(|v| *v = v.min(1.0)));
        assert_eq!(kind_and_severity(&seen), (Constant, Severity::Refuse));
        assert!(seen.problem.contains("all 4000 of tissue are 1"), "{seen}");

        let seen = only(|image| image[FIRST + 9] = 1e7);
        assert_eq!(kind_and_severity(&seen), (Spike, Severity::Clip));
        assert!(seen.problem.contains("10000000, but percentiles 0.5 and 99.5"), "{seen}");
        assert!(seen.remedy.contains("clips them to 250 and 1247.5"), "{seen}");

        let seen = only(|image| {
            image[FIRST..FIRST + 60].iter_mut().zip(0..).for_each(|(v, n)| *v = 1e7 - f64::from(n));
        });
        assert_eq!(kind_and_severity(&seen), (CoarseCodes, Severity::Refuse));
        let error = seen.into_error("a_t1ce.nii.gz").to_string();
        assert!(error.starts_with("a_t1ce.nii.gz: range: 250 to 10000000 leaves"), "{error}");

        let seen = only(|image| image[..200].fill(0.1));
        assert_eq!(kind_and_severity(&seen), (Ringing, Severity::Note));
        let seen = only(|image| image[..3].fill(f64::NAN));
        assert_eq!(kind_and_severity(&seen), (NonFinite, Severity::Note));
        assert!(seen.problem.starts_with("3 of 10000 are NaN"), "{seen}");
    }

    #[test]
    fn images_without_background_are_doubted_from_nine_tenths_of_tissue_on() {
        let of = |share: f64| {
            let images = [3, 5, 7, 11].map(|step| {
                let value = |place: usize| {
                    let tissue = place >= ((1.0 - share) * 10_000.0).round() as usize;
                    if tissue { (100 + place * step % 700) as f64 } else { 0.0 }
                };
                (0..DIMS.voxel_count()).map(value).collect()
            });
            findings(images, None)
        };
        assert_eq!(of(0.9), []);
        let found = of(0.91);
        assert_eq!(found.len(), 4, "{found:#?}");
        let wanted = (FindingKind::NoBackground, Severity::Doubt);
        assert!(found.iter().all(|finding| kind_and_severity(finding) == wanted));
        assert!(found[0].problem.contains("91 % of the voxels"), "{}", found[0]);
    }

    #[test]
    fn saturation_is_noted_and_doubted_from_one_percent_on() {
        let of = |count: usize| only(|image| image[FIRST..FIRST + count].fill(1300.0));
        assert_eq!(kind_and_severity(&of(40)), (FindingKind::Saturation, Severity::Note));
        assert_eq!(kind_and_severity(&of(41)), (FindingKind::Saturation, Severity::Doubt));
        assert!(of(41).problem.contains("41 (1.0 % of tissue) are at the highest value, 1300"));
    }

    #[test]
    fn an_image_of_a_part_of_the_brain_is_named_and_the_others_are_not() {
        let cut = |count: usize| {
            let mut images = clean();
            images[Modality::Flair.index()][FIRST..FIRST + count].fill(0.0);
            findings(images, None)
        };
        assert_eq!(cut(400), []);
        let found = cut(401);
        assert_eq!((found.len(), found[0].modality), (1, Some(Modality::Flair)));
        let wanted = (FindingKind::PartialCoverage, Severity::Doubt);
        assert_eq!(kind_and_severity(&found[0]), wanted);
        assert!(found[0].problem.contains("covers 90 % of the brain"), "{}", found[0]);

        // T1 is not stripped: the others are not cut off.
        let mut images = clean();
        images[0] = (0..10_000).map(|place| (100 + place * 3 % 700) as f64).collect();
        let kinds: Vec<_> = findings(images, None).iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [FindingKind::NoBackground]);
    }

    #[test]
    fn tumour_outside_all_tissue_is_noted_and_doubted_from_one_percent_on() {
        let of = |outside: usize| {
            let tumour = labels(FIRST - outside..FIRST + 1000 - outside);
            findings(clean(), Some(&tumour))
        };
        assert_eq!(of(0), []);
        assert_eq!(of(10)[0].severity, Severity::Note);
        let found = of(11);
        assert_eq!(
            (found[0].kind, found[0].severity, found[0].modality),
            (FindingKind::TumourOutside, Severity::Doubt, None)
        );
        assert!(found[0].problem.contains("11 of 1000 tumour voxels (1.1 %) lie where all"));
        // One image with tissue there is enough.
        let mut images = clean();
        images[3][FIRST - 11..FIRST].fill(300.0);
        let tumour = labels(FIRST - 11..FIRST + 900);
        assert_eq!(findings(images, Some(&tumour)), []);
    }

    #[test]
    fn under_a_mask_the_mask_is_the_tissue() {
        let mut mask = vec![0u8; DIMS.voxel_count()];
        mask[FIRST..FIRST + 2000].fill(1);
        let images = clean().map(Voxels::F64);
        let rule = ForegroundRule::Mask("mask".into());
        let tumour = labels(FIRST + 1990..FIRST + 2010);
        let quality = CaseQuality::measure_case(&images, Some(&tumour), DIMS, &rule, Some(&mask));
        assert!(quality.images.iter().all(|image| image.tissue.voxels == 2000));
        assert_eq!(quality.coverage, [1.0; 4]);
        assert_eq!(quality.tumour.unwrap().in_background, 10);
    }
}
