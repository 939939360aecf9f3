//! What a patch must hold, computed slowly, in f64 and from whole volumes: no box, no file, no row
//! copies, no code of the loader's.

use gliaflow::internals::brats::phantom::PhantomCase;
use gliaflow::internals::volume::{Box3, Dims};

/// Where a patch is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// First corner, relative to the brain box.
    pub(super) corner: [isize; 3],
    pub(super) mirrored: [bool; 3],
    pub(super) dims: Dims,
}

/// One voxel of a patch.
pub(super) struct Seen {
    /// z-scores; `None` where there is no tissue.
    pub(super) scores: [Option<f64>; 4],
    pub(super) label: u8,
}

/// A case as whole volumes.
pub(super) struct Reference {
    dims: Dims,
    /// Voxel edges in mm, `[z, y, x]`.
    spacing_mm: [f64; 3],
    scores: [Vec<Option<f64>>; 4],
    labels: Vec<u8>,
    /// The smallest box around tissue and labels.
    pub(super) brain: Box3,
}

impl Reference {
    pub(super) fn of_phantom(phantom: &PhantomCase) -> Self {
        let tissue = |value: &i16| (*value != 0).then(|| f64::from(*value));
        let images = phantom.images.each_ref().map(|image| image.iter().map(tissue).collect());
        let [x, y, z] = phantom.source.world_from_voxel.spacing_mm();
        let spacing_mm = [z, y, x];
        Self { spacing_mm, ..Self::new(phantom.source.dims, images, phantom.labels.clone()) }
    }

    /// From intensities, `None` for air, with voxels of 1 mm.
    pub(super) fn new(dims: Dims, images: [Vec<Option<f64>>; 4], labels: Vec<u8>) -> Self {
        let scores = images.map(|image| z_scores(&image));
        let brain = smallest_box(dims, &scores, &labels);
        Self { dims, spacing_mm: [1.0; 3], scores, labels, brain }
    }

    /// The voxels of a patch in its memory order.
    pub(super) fn patch(&self, cut: &Cut) -> Vec<Seen> {
        let [depth, height, width] = cut.dims.0;
        let mut seen = Vec::new();
        for z in 0..depth {
            for y in 0..height {
                for x in 0..width {
                    seen.push(self.voxel(cut, [z, y, x]));
                }
            }
        }
        seen
    }

    fn voxel(&self, cut: &Cut, at: [usize; 3]) -> Seen {
        let mut place = 0;
        for (axis, at) in at.into_iter().enumerate() {
            let side = cut.dims.0[axis];
            let within = if cut.mirrored[axis] { side - 1 - at } else { at };
            let global = self.brain.start[axis] as isize + cut.corner[axis] + within as isize;
            if global < 0 || global >= self.dims.0[axis] as isize {
                return Seen { scores: [None; 4], label: 0 };
            }
            place = place * self.dims.0[axis] + global as usize;
        }
        let scores = std::array::from_fn(|channel| self.scores[channel][place]);
        Seen { scores, label: self.labels[place] }
    }

    /// The case with the region around another one's tumour put into it, by the definition of CarveMix (Zhang et
    /// al. 2021): distances to every voxel in mm, one by one, over the whole volume. The region ends at
    /// the donor's brain box.
    pub(super) fn mixed_with(&self, donor: &Self, shift: f64) -> Self {
        assert_eq!(self.dims, donor.dims, "one canonical grid");
        let signed = donor.signed_distances();
        let deepest = signed.iter().copied().fold(f64::INFINITY, f64::min);
        let edge = shift * deepest.abs();
        let mut mixed = Self {
            dims: self.dims,
            spacing_mm: self.spacing_mm,
            scores: self.scores.clone(),
            labels: self.labels.clone(),
            brain: self.brain,
        };
        for (place, distance) in signed.into_iter().enumerate() {
            let at = donor.dims.zyx_from_offset(place);
            if distance < edge && donor.brain.contains_voxel(at) {
                mixed.labels[place] = donor.labels[place];
                for channel in 0..4 {
                    mixed.scores[channel][place] = donor.scores[channel][place];
                }
            }
        }
        mixed
    }

    /// Distance in mm of every voxel to the nearest one on the other side of the tumour's edge, negative inside.
    fn signed_distances(&self) -> Vec<f64> {
        let Self { dims, labels, .. } = self;
        let of_side = |wanted: bool| -> Vec<[usize; 3]> {
            let places = (0..labels.len()).filter(|place| (labels[*place] != 0) == wanted);
            places.map(|place| dims.zyx_from_offset(place)).collect()
        };
        let [healthy, tumour] = [of_side(false), of_side(true)];
        let squared = |from: [usize; 3], to: &[usize; 3]| -> f64 {
            let along = |axis: usize| from[axis].abs_diff(to[axis]) as f64 * self.spacing_mm[axis];
            // x and y first: equal distances along those two come out equal then.
            [2, 1, 0].into_iter().map(|axis| along(axis).powi(2)).sum()
        };
        let nearest = |from, others: &[[usize; 3]]| {
            others.iter().map(|to| squared(from, to)).fold(f64::INFINITY, f64::min).sqrt()
        };
        let distance = |place: usize| {
            let at = dims.zyx_from_offset(place);
            if labels[place] == 0 { nearest(at, &tumour) } else { -nearest(at, &healthy) }
        };
        (0..labels.len()).map(distance).collect()
    }

    /// Voxels that differ from those of another case on the same grid.
    pub(super) fn other_voxels(&self, other: &Self) -> usize {
        let voxel = |of: &Self, place: usize| {
            (of.labels[place], of.scores.each_ref().map(|channel| channel[place]))
        };
        (0..self.labels.len()).filter(|place| voxel(self, *place) != voxel(other, *place)).count()
    }

    /// The z-score of a voxel of the whole volume.
    pub(super) fn score(&self, channel: usize, place: usize) -> Option<f64> {
        self.scores[channel][place]
    }
}

/// Over the tissue, with the population's standard deviation; 0 where all tissue is one value.
fn z_scores(image: &[Option<f64>]) -> Vec<Option<f64>> {
    let tissue: Vec<f64> = image.iter().copied().flatten().collect();
    let count = tissue.len() as f64;
    let mean = tissue.iter().sum::<f64>() / count;
    let variance = tissue.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
    let score = |value: f64| if variance == 0.0 { 0.0 } else { (value - mean) / variance.sqrt() };
    image.iter().map(|value| value.map(score)).collect()
}

fn smallest_box(dims: Dims, scores: &[Vec<Option<f64>>; 4], labels: &[u8]) -> Box3 {
    let (mut low, mut high) = (dims.0, [0; 3]);
    let [depth, height, width] = dims.0;
    let mut place = 0;
    for z in 0..depth {
        for y in 0..height {
            for x in 0..width {
                let occupied =
                    labels[place] != 0 || scores.iter().any(|image| image[place].is_some());
                for (axis, at) in [z, y, x].into_iter().enumerate().filter(|_| occupied) {
                    low[axis] = low[axis].min(at);
                    high[axis] = high[axis].max(at + 1);
                }
                place += 1;
            }
        }
    }
    Box3 { start: low, dims: Dims(std::array::from_fn(|axis| high[axis] - low[axis])) }
}

/// How far an f32 z-score may be from the reference: relative, and absolute below 1.
pub(super) fn tolerance(score: f64) -> f64 {
    1e-6 * score.abs().max(1.0)
}
