//! Slices of a scored case, kept for the overlays: per region, the three through most of its truth. The
//! worst and the best cases are known only when all are scored, and a whole volume of each would
//! not fit; a sketch of a BraTS case takes a quarter of a MiB.

use serde::{Deserialize, Serialize};

use crate::eval::ByRegion;
use crate::pipeline::whole_case::WholeCase;
use crate::volume::{CaseId, Dims, Modality, ModalitySet, Region, RegionSet, RunChannels, label};

/// Bit of a pixel that lies in the true region.
const TRUTH: u8 = 1 << 7;
/// Bit of a pixel that lies in the predicted region.
const PREDICTION: u8 = 1 << 6;
/// The other bits: FLAIR, from black to white.
const GREY: u8 = PREDICTION - 1;

/// Percentiles of the tissue's z-scores that are black and white.
const WINDOW: [f64; 2] = [1.0, 99.5];
/// Stride of the voxels that the percentiles are estimated from.
const SAMPLED: usize = 11;

/// Orientation of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plane {
    /// Axial, from below: the patient's left is on the right.
    Axial,
    /// Coronal, from the front.
    Coronal,
    /// Sagittal, from the patient's left.
    Sagittal,
}

impl Plane {
    pub(super) const ALL: [Self; 3] = [Self::Axial, Self::Coronal, Self::Sagittal];

    /// Memory axis normal to the plane.
    const fn normal_axis(self) -> usize {
        self as usize
    }

    /// Memory axes down a column and along a row.
    const fn in_plane_axes(self) -> [usize; 2] {
        match self {
            Self::Axial => [1, 2],
            Self::Coronal => [0, 2],
            Self::Sagittal => [0, 1],
        }
    }
}

/// A slice. Up is the patient's front in axial ones, the head's top in the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Slice {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Edge lengths of a pixel in mm: down a column, along a row.
    pub(super) spacing_mm: [f64; 2],
    pixels: Vec<u8>,
}

impl Slice {
    /// FLAIR at a pixel, 0 to 1.
    pub(super) fn flair_grey(&self, row: usize, column: usize) -> f64 {
        f64::from(self.pixels[row * self.columns + column] & GREY) / f64::from(GREY)
    }

    pub(super) fn is_true(&self, row: usize, column: usize) -> bool {
        self.pixels[row * self.columns + column] & TRUTH != 0
    }

    pub(super) fn is_predicted(&self, row: usize, column: usize) -> bool {
        self.pixels[row * self.columns + column] & PREDICTION != 0
    }
}

/// Slices of one scored case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    pub(super) case: CaseId,
    slices: ByRegion<[Slice; Plane::ALL.len()]>,
    /// Errors by region; absent in sketches of early versions.
    #[serde(default)]
    errors: Option<ByRegion<ErrorCounts>>,
}

/// Voxels of one region that are wrong, and the axial slice with most of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ErrorCounts {
    /// Voxels of the truth that were not found.
    pub(super) missed: u64,
    /// Voxels that were found and are none of the truth.
    pub(super) excess: u64,
    /// Slice with most of both, counted from the feet in the case's grid, from 0.
    pub(super) slice: u64,
    /// Voxels of both in that slice.
    pub(super) in_slice: u64,
}

impl Sketch {
    /// Cuts the slices of a case and its segmentation, canonical labels `[d, h, w]` of the whole
    /// canonical grid of its files; `None` for a case without labels of its own.
    ///
    /// # Panics
    /// If there are not as many labels as voxels.
    pub fn from_case(channels: RunChannels, case: &WholeCase, segmentation: &[u8]) -> Option<Self> {
        let truth = case.labels.as_deref()?;
        // A picture is not worth the end of an evaluation.
        let prediction = case.crop_labels(segmentation).ok()?;
        let RunChannels { modalities, regions } = channels;
        let flair = case.modality_image(shown_modality(modalities));
        let [along_x, along_y, along_z] = case.source.canonical_spacing_mm();
        let volume = SketchVolume {
            dims: case.brain.dims,
            spacing_mm: [along_z, along_y, along_x],
            flair,
            window: grey_window(flair),
            truth,
            prediction: &prediction,
        };
        let fullest = volume.fullest_slices(regions);
        let slices = ByRegion::of_regions(regions, |region| {
            let at = fullest[region.index()];
            Plane::ALL.map(|plane| volume.cut_slice(region, plane, at[plane.normal_axis()]))
        });
        let errors = ByRegion::of_regions(regions, |region| {
            volume.count_errors(region, case.brain.start[0])
        });
        Some(Self { case: case.id.clone(), slices, errors: Some(errors) })
    }

    /// Errors in a region, where they were counted.
    pub(super) fn errors_in(&self, region: &str) -> Option<ErrorCounts> {
        self.errors.as_ref().and_then(|errors| errors.get(region).copied())
    }

    pub(super) fn of_region(&self, region: &str) -> Option<&[Slice; Plane::ALL.len()]> {
        self.slices.get(region)
    }
}

/// Modality that slices show: FLAIR, or the last one where there is no FLAIR.
pub(super) fn shown_modality(modalities: ModalitySet) -> Modality {
    modalities.iter().last().unwrap_or(Modality::Flair)
}

/// Computes the z-scores that are black and white; background is 0 and left out.
fn grey_window(flair: &[f32]) -> [f32; 2] {
    let tissue = flair.iter().step_by(SAMPLED).copied().filter(|&z| z != 0.0);
    let mut tissue: Vec<f32> = tissue.collect();
    if tissue.is_empty() {
        return [0.0, 1.0];
    }
    let last = (tissue.len() - 1) as f64;
    WINDOW.map(|percent| {
        let place = (last * percent / 100.0).round() as usize;
        *tissue.select_nth_unstable_by(place, f32::total_cmp).1
    })
}

/// FLAIR and labels of one case over its brain box, each `[d, h, w]`.
struct SketchVolume<'a> {
    dims: Dims,
    /// Voxel spacing in mm by memory axis.
    spacing_mm: [f64; 3],
    flair: &'a [f32],
    window: [f32; 2],
    truth: &'a [u8],
    prediction: &'a [u8],
}

impl SketchVolume<'_> {
    fn cut_slice(&self, region: Region, plane: Plane, at: usize) -> Slice {
        let [down, along] = plane.in_plane_axes();
        let rows = self.dims.0[down];
        let columns = self.dims.0[along];
        let mut pixels = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            // Memory goes from the feet up, and from the front back.
            let place_down = if plane == Plane::Axial { row } else { rows - 1 - row };
            for column in 0..columns {
                let mut place = [at; 3];
                place[down] = place_down;
                place[along] = column;
                pixels.push(self.pixel_value(region, self.dims.offset_from_zyx(place)));
            }
        }
        let spacing_mm = [self.spacing_mm[down], self.spacing_mm[along]];
        Slice { rows, columns, spacing_mm, pixels }
    }

    fn pixel_value(&self, region: Region, offset: usize) -> u8 {
        let [black, white] = self.window;
        let z = self.flair[offset];
        let share = if z == 0.0 { 0.0 } else { (z - black) / (white - black).max(f32::EPSILON) };
        let mut pixel = (share.clamp(0.0, 1.0) * f32::from(GREY)).round() as u8;
        if region.contains(self.truth[offset]) {
            pixel |= TRUTH;
        }
        if region.contains(self.prediction[offset]) {
            pixel |= PREDICTION;
        }
        pixel
    }

    /// Index of the slice with most voxels of the truth, per region and memory axis; of the prediction
    /// where the truth has none, and the middle where neither has. Of a bad case, slices through what was
    /// predicted would show where the tumour is not.
    fn fullest_slices(&self, regions: RegionSet) -> Vec<[usize; Plane::ALL.len()]> {
        let axes = self.dims.0.map(|extent| vec![0usize; extent]);
        let mut counts: [Vec<[Vec<usize>; 3]>; 2] = [const { Vec::new() }; 2];
        counts.iter_mut().for_each(|of_labels| of_labels.resize(regions.len(), axes.clone()));
        for (offset, labels) in self.truth.iter().zip(self.prediction).enumerate() {
            let (&truth, &prediction) = labels;
            if truth | prediction == label::BACKGROUND {
                continue;
            }
            let place = self.dims.zyx_from_offset(offset);
            for region in regions.iter() {
                for (of_labels, label) in counts.iter_mut().zip([truth, prediction]) {
                    if region.contains(label) {
                        let of_region = of_labels[region.index()].iter_mut().zip(place);
                        of_region.for_each(|(axis, at)| axis[at] += 1);
                    }
                }
            }
        }
        let [true_counts, predicted_counts] = &counts;
        let pairs = true_counts.iter().zip(predicted_counts);
        let chosen =
            pairs.map(
                |(truth, prediction)| {
                    if truth[0].iter().any(|&count| count > 0) { truth } else { prediction }
                },
            );
        chosen.map(|axes| axes.each_ref().map(|along| index_of_largest(along))).collect()
    }

    /// Counts the errors in a region, in axial slices that begin at `first` in the case's grid.
    fn count_errors(&self, region: Region, first: usize) -> ErrorCounts {
        let mut errors = ErrorCounts::default();
        let mut by_slice = vec![0usize; self.dims.0[0]];
        for (offset, (truth, prediction)) in self.truth.iter().zip(self.prediction).enumerate() {
            let [is_true, is_predicted] = [truth, prediction].map(|label| region.contains(*label));
            if is_true != is_predicted {
                by_slice[self.dims.zyx_from_offset(offset)[0]] += 1;
                *if is_true { &mut errors.missed } else { &mut errors.excess } += 1;
            }
        }
        let fullest = index_of_largest(&by_slice);
        ErrorCounts {
            slice: (first + fullest) as u64,
            in_slice: by_slice.get(fullest).map_or(0, |count| *count as u64),
            ..errors
        }
    }
}

/// Index of the first largest count; the middle if all are 0.
fn index_of_largest(counts: &[usize]) -> usize {
    let most = counts.iter().copied().max().unwrap_or_default();
    let first = counts.iter().position(|&count| count == most && count > 0);
    first.unwrap_or(counts.len() / 2)
}
#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::volume::{Affine, Box3, LabelScheme, SourceGrid};

    const GRID: Dims = Dims([6, 7, 8]);
    const BRAIN: Box3 = Box3 { start: [1, 1, 1], dims: Dims([4, 5, 6]) };

    /// A case with a gradient along x, and one true voxel of oedema at `[z, y, x]` of the box.
    pub(in crate::report) fn test_case(name: &str, at: [usize; 3]) -> WholeCase {
        let voxels = BRAIN.dims.voxel_count();
        let mut labels = vec![label::BACKGROUND; voxels];
        labels[BRAIN.dims.offset_from_zyx(at)] = label::ED;
        let affine = [[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0], [0.0; 4]];
        let gradient = |place: usize| 0.5 + BRAIN.dims.zyx_from_offset(place)[2] as f32;
        WholeCase {
            id: CaseId::new(name),
            images: (0..Modality::COUNT * voxels).map(|place| gradient(place % voxels)).collect(),
            tissue: vec![true; voxels],
            labels: Some(labels),
            outside: Vec::new(),
            brain: BRAIN,
            source: SourceGrid::canonical(GRID, Affine(affine)),
            resampled_from: None,
            scheme: LabelScheme::Brats2018,
        }
    }

    /// A segmentation of the whole grid with one voxel of oedema at `[z, y, x]` of the box.
    pub(in crate::report) fn test_segmentation(at: [usize; 3]) -> Vec<u8> {
        let mut labels = vec![label::BACKGROUND; GRID.voxel_count()];
        labels[GRID.offset_from_zyx([at[0] + 1, at[1] + 1, at[2] + 1])] = label::ED;
        labels
    }

    #[test]
    fn slices_go_through_the_region_and_lie_as_radiologists_read_them() {
        let sketch = Sketch::from_case(
            RunChannels::default(),
            &test_case("a", [3, 1, 2]),
            &test_segmentation([3, 1, 4]),
        )
        .unwrap();
        let [axial, coronal, sagittal] = sketch.of_region("WT").unwrap();
        assert_eq!((axial.rows, axial.columns, axial.spacing_mm), (5, 6, [2.0, 1.0]));
        assert!(axial.is_true(1, 2) && !axial.is_true(1, 4));
        assert!(axial.is_predicted(1, 4) && !axial.is_predicted(1, 2));
        // The top of the head is up: memory's last z is the first row.
        assert_eq!((coronal.rows, coronal.columns, coronal.spacing_mm), (4, 6, [3.0, 1.0]));
        assert!(coronal.is_true(0, 2) && coronal.is_predicted(0, 4));
        assert_eq!((sagittal.rows, sagittal.columns, sagittal.spacing_mm), (4, 5, [3.0, 2.0]));
        assert!(sagittal.is_true(0, 1), "through the truth");
        assert!(axial.flair_grey(0, 0) < 0.05 && axial.flair_grey(4, 5) > 0.95);
        let [empty, ..] = sketch.of_region("ET").unwrap();
        assert!((0..5).all(|row| (0..6).all(|column| !empty.is_true(row, column))));
    }

    #[test]
    fn a_case_that_was_missed_is_shown_where_its_tumour_is() {
        let sketch = |truth: [usize; 3], channels| {
            // More is found elsewhere than there is to be found.
            let mut found = test_segmentation([0, 4, 5]);
            found[GRID.offset_from_zyx([1, 5, 5])] = label::ED;
            Sketch::from_case(channels, &test_case("a", truth), &found).unwrap()
        };
        let missed = sketch([3, 1, 2], RunChannels::default());
        let [axial, coronal, sagittal] = missed.of_region("WT").unwrap();
        assert!(axial.is_true(1, 2) && coronal.is_true(0, 2) && sagittal.is_true(0, 1));
        let errors = missed.errors_in("WT").unwrap();
        assert_eq!(errors, ErrorCounts { missed: 1, excess: 2, slice: 1, in_slice: 2 });
        let [.., sagittal] = missed.of_region("ET").unwrap();
        assert_eq!((sagittal.rows, missed.errors_in("ET").unwrap().missed), (4, 0));
    }

    #[test]
    fn there_is_nothing_to_draw_without_a_truth() {
        let unlabelled = WholeCase { labels: None, ..test_case("a", [0; 3]) };
        assert_eq!(
            Sketch::from_case(RunChannels::default(), &unlabelled, &test_segmentation([0; 3])),
            None
        );
    }
}
