//! A case (one subject, one time point), decoded; and how a cohort is split.

use serde::{Deserialize, Serialize};

use crate::base::{Domain, Fingerprint, KeyedRng, SampleKey};
use crate::volume::{Affine, Dims, LabelScheme, Modality, RunChannels, Voxels};

/// Longest case id in bytes: with an extension, a process id and a number it still fits a file name.
pub const MAX_CASE_ID_BYTES: usize = 200;

/// Reason why `id` cannot name a file, if there is one.
pub fn case_id_problem(id: &str) -> Option<String> {
    let bytes = id.len();
    if bytes == 0 || bytes > MAX_CASE_ID_BYTES {
        return Some(format!("has {bytes} bytes, a file holds 1 to {MAX_CASE_ID_BYTES}"));
    }
    if id.starts_with('.') || id.contains(|c: char| c.is_control() || c == '/' || c == '\\') {
        return Some(format!("{id:?} cannot be a file name"));
    }
    None
}

/// Name of a case: that of its folder, unique within a dataset.
#[derive(
    derive_more::Display, Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct CaseId(String);

impl CaseId {
    /// Creates an id from a folder's name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Grid of a case's files and its reorientation to the canonical grid (LPS+); a prediction is
/// written back on it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SourceGrid {
    /// Extent in the file.
    pub dims: Dims,
    /// Affine of the file.
    #[serde(rename = "affine")]
    pub world_from_voxel: Affine,
    /// File axis of each canonical axis (x, y, z), both counted from the fastest.
    pub axes: [u8; 3],
    /// True for each canonical axis that runs against the file's.
    pub flipped: [bool; 3],
}

impl SourceGrid {
    /// Creates a grid that is canonical already: LPS+, the orientation of BraTS.
    pub const fn canonical(dims: Dims, affine: Affine) -> Self {
        Self { dims, world_from_voxel: affine, axes: [0, 1, 2], flipped: [false; 3] }
    }

    /// Extent of the canonical grid.
    pub fn canonical_dims(&self) -> Dims {
        let shape = self.dims.to_nifti();
        Dims::from_nifti(self.axes.map(|axis| shape[usize::from(axis)]))
    }

    /// Voxel edges of the canonical grid in mm, fastest axis first.
    pub fn canonical_spacing_mm(&self) -> [f64; 3] {
        let spacing = self.world_from_voxel.spacing_mm();
        self.axes.map(|axis| spacing[usize::from(axis)])
    }

    /// World-from-voxel transform of the canonical grid.
    pub fn canonical_world_from_voxel(&self) -> Affine {
        let shape = self.dims.to_nifti();
        let mut canonical = self.world_from_voxel;
        for (row, from_row) in canonical.0.iter_mut().zip(self.world_from_voxel.0).take(3) {
            for axis in 0..3 {
                let from = usize::from(self.axes[axis]);
                let step = from_row[from];
                row[axis] = step;
                if self.flipped[axis] {
                    row[axis] = -step;
                    row[3] += step * (shape[from] as f64 - 1.0);
                }
            }
        }
        canonical
    }

    /// File offset of each voxel of the canonical grid, in memory order.
    pub fn file_offsets(&self) -> impl Iterator<Item = usize> + '_ {
        let shape = self.dims.to_nifti();
        let stride = [1, shape[0], shape[0] * shape[1]];
        let canonical = self.canonical_dims();
        let [steps_x, steps_y, steps_z] = std::array::from_fn(|axis| {
            let from = usize::from(self.axes[axis]);
            let length = shape[from];
            let place = move |i: usize| if self.flipped[axis] { length - 1 - i } else { i };
            (0..length).map(|i| place(i) * stride[from]).collect::<Vec<_>>()
        });
        let [depth, height, width] = canonical.0;
        (0..depth).flat_map(move |z| {
            let steps_x = steps_x.clone();
            let steps_y = steps_y.clone();
            let from_z = steps_z[z];
            (0..height).flat_map(move |y| {
                let steps_x = steps_x.clone();
                let from_zy = from_z + steps_y[y];
                (0..width).map(move |x| from_zy + steps_x[x])
            })
        })
    }

    /// Reorders canonical values to the file's memory order.
    ///
    /// # Panics
    /// If there are not as many values as voxels.
    pub fn to_file_order<T: Copy + Default>(&self, canonical: &[T]) -> Vec<T> {
        assert_eq!(canonical.len(), self.dims.voxel_count(), "one value per voxel");
        let mut out = vec![T::default(); canonical.len()];
        for (value, place) in canonical.iter().zip(self.file_offsets()) {
            out[place] = *value;
        }
        out
    }
}

/// A decoded case: whole volumes in canonical orientation, before statistics and cropping.
#[derive(Debug, Clone)]
pub struct Case {
    /// Case id.
    pub id: CaseId,
    /// Grid of the source files.
    pub source: SourceGrid,
    /// Intensities per modality, in the order of [`Modality::ALL`], canonical orientation.
    pub images: [Voxels; Modality::COUNT],
    /// Canonical labels, `[d, h, w]`; absent for unlabelled cohorts.
    pub labels: Option<Vec<u8>>,
    /// Not 0 where tissue is, `[d, h, w]`, if a mask file says it.
    pub mask: Option<Vec<u8>>,
    /// Meaning of the label values in the source file.
    pub scheme: LabelScheme,
    /// Modalities that the case has, and regions that it is indexed by; other images are 0.
    pub channels: RunChannels,
    /// Fingerprint of the compressed bytes of all files, modalities first.
    pub fingerprint: Fingerprint,
    /// Compressed bytes read.
    pub bytes_read: u64,
}

impl Case {
    /// Extent in canonical orientation.
    pub fn dims(&self) -> Dims {
        self.source.canonical_dims()
    }
}

/// Part of a cohort that a case belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Seen by the optimiser.
    Train,
    /// Held out to select checkpoints, networks and thresholds.
    Validation,
    /// Held out to report on; selects nothing.
    Test,
    /// No labels, or labels that are hidden from training and may measure pseudo-labels.
    Unlabelled,
    /// Labelled case that `data.labelled_fraction` leaves out of training.
    Unused,
}

impl Split {
    /// The name in files and metric labels.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Random number of a case under `seed`: a function of its name alone, so lists may be in any
/// order.
pub(super) fn split_draw(id: &CaseId, seed: u64) -> u64 {
    let name = Fingerprint::of_bytes(id.as_str().as_bytes()).0;
    let word =
        |at: usize| name[at..at + 8].iter().fold(0u64, |word, byte| (word << 8) | u64::from(*byte));
    let key = SampleKey { seed, epoch: word(0), index: word(8) };
    KeyedRng::new(key, Domain::Split).next_bits()
}

/// Holds out `held_out` cases: those whose name draws lowest under `seed`.
///
/// The draw depends on the name alone, so a case added to the dataset moves at most one other.
pub fn hold_out_cases(ids: &[CaseId], held_out: usize, seed: u64) -> Vec<Split> {
    let mut ranked: Vec<(u64, usize)> =
        ids.iter().enumerate().map(|(place, id)| (split_draw(id, seed), place)).collect();
    ranked.sort_unstable();
    let mut splits = vec![Split::Train; ids.len()];
    for (_, place) in ranked.into_iter().take(held_out) {
        splits[place] = Split::Validation;
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turning_there_and_back_is_the_identity() {
        let dims = Dims::from_nifti([2, 3, 4]);
        let affine = Affine([[0.0; 4]; 4]);
        let source = SourceGrid {
            dims,
            world_from_voxel: affine,
            axes: [2, 0, 1],
            flipped: [true, false, true],
        };
        assert_eq!(source.canonical_dims().to_nifti(), [4, 2, 3]);
        let file: Vec<u16> = (0..24).collect();
        let canonical: Vec<u16> = source.file_offsets().map(|place| file[place]).collect();
        assert_eq!(source.to_file_order(&canonical), file);
        assert_ne!(canonical, file);
        // Our x runs against the file's z, our z against its y: the first voxel is the far corner.
        assert_eq!(usize::from(canonical[0]), (3 * 3 + 2) * 2);
    }

    #[test]
    fn the_canonical_affine_puts_every_voxel_where_the_files_does() {
        let dims = Dims::from_nifti([2, 3, 4]);
        let affine = Affine([
            [0.1, -1.5, 0.2, 7.0],
            [2.0, 0.3, -0.1, -5.0],
            [0.0, 0.4, 3.0, 1.0],
            [0.0, 0.0, 0.0, 1.0],
        ]);
        let world = |affine: &Affine, at: [usize; 3]| -> [f64; 3] {
            std::array::from_fn(|row| {
                let steps = (0..3).map(|axis| affine.0[row][axis] * at[2 - axis] as f64);
                affine.0[row][3] + steps.sum::<f64>()
            })
        };
        for axes in [[0, 1, 2], [1, 2, 0], [2, 1, 0]] {
            for flips in 0..8u8 {
                let flipped = [0, 1, 2].map(|axis| flips >> axis & 1 == 1);
                let source = SourceGrid { dims, world_from_voxel: affine, axes, flipped };
                let canonical = source.canonical_world_from_voxel();
                let own = source.canonical_dims();
                for (place, in_file) in source.file_offsets().enumerate() {
                    let here = world(&canonical, own.zyx_from_offset(place));
                    let there = world(&affine, dims.zyx_from_offset(in_file));
                    let apart = here.iter().zip(there).map(|(a, b)| (a - b).abs());
                    assert!(apart.fold(0.0, f64::max) < 1e-12, "{axes:?} {flipped:?}");
                }
            }
        }
    }

    #[test]
    fn parts_are_named_alike_in_files_and_metrics() {
        use Split::{Test, Train, Unlabelled, Unused, Validation};
        for part in [Train, Validation, Test, Unlabelled, Unused] {
            assert_eq!(serde_json::to_value(part).unwrap(), part.name());
        }
    }

    /// Runs are resumed and compared by their cases: these must never change.
    #[test]
    fn the_same_names_are_held_out_for_ever() {
        let ids: Vec<CaseId> = (0..9).map(|i| CaseId::new(format!("case{i}"))).collect();
        let held: Vec<usize> =
            (0..9).filter(|&i| hold_out_cases(&ids, 3, 7)[i] == Split::Validation).collect();
        assert_eq!(held, [2, 3, 8]);
    }

    #[test]
    fn a_split_follows_the_names_not_their_order() {
        let ids: Vec<CaseId> = (0..20).map(|i| CaseId::new(format!("case{i}"))).collect();
        let splits = hold_out_cases(&ids, 5, 3);
        assert_eq!(splits.iter().filter(|split| **split == Split::Validation).count(), 5);
        let mut turned = ids.clone();
        turned.reverse();
        let mut turned_splits = hold_out_cases(&turned, 5, 3);
        turned_splits.reverse();
        assert_eq!(splits, turned_splits);
        assert_ne!(splits, hold_out_cases(&ids, 5, 4));
    }

    #[test]
    fn ids_that_would_leave_the_folder_are_refused() {
        for id in ["", ".", "..", ".hidden", "a/b", "a\\b", "a\0b", "a\nb", &"x".repeat(201)] {
            assert!(case_id_problem(id).is_some(), "{id:?}");
        }
        for id in ["BraTS-GLI-00000-000", "Fall 7 ä", &"x".repeat(200)] {
            assert_eq!(case_id_problem(id), None, "{id:?}");
        }
    }
}
