//! A true and a predicted label file as canonical labels on one grid.

use std::path::Path;

use crate::base::{CaseError, Reason};
use crate::brats::{LabelVolume, read_labels_only};
use crate::eval::match_files::SegmentationPair;
use crate::volume::{Dims, GRID_TOLERANCE_VOXELS, LabelScheme};

/// True and predicted canonical labels in memory order `[d, h, w]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelPair {
    /// True labels.
    pub truth: Vec<u8>,
    /// Predicted labels.
    pub prediction: Vec<u8>,
    /// Extent of both.
    pub dims: Dims,
    /// Voxel edges of the truth in mm, fastest axis first.
    pub spacing_mm: [f64; 3],
}

/// Reading of pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairOptions {
    /// Meaning of the truth's values.
    pub truth: LabelScheme,
    /// Meaning of the prediction's values.
    pub prediction: LabelScheme,
    /// True if voxels correspond by their order in the files, whatever the affines say.
    pub ignore_affine: bool,
}

/// Reads both files of a pair. Grids are the same if each voxel has its place in the world to a tenth
/// of its edge; the order of voxels in the files may differ.
///
/// # Errors
/// If a file cannot be read, a value is none of its scheme's, or the grids differ.
pub fn read_label_pair(
    pair: &SegmentationPair,
    options: PairOptions,
) -> Result<LabelPair, CaseError> {
    let truth = read_labels_only(&pair.truth, options.truth)?;
    let prediction = read_labels_only(&pair.prediction, options.prediction)?;
    let own = &truth.source;
    let other = &prediction.source;
    let dims = own.canonical_dims();
    let spacing_mm = own.canonical_spacing_mm();
    let shapes = match options.ignore_affine {
        true => [own.dims, other.dims],
        false => [dims, other.canonical_dims()],
    };
    if shapes[0] != shapes[1] {
        return Err(CaseError::new(
            Reason::Geometry,
            pair.prediction.display(),
            format!("is {}, the truth is {}", shapes[1], shapes[0]),
            "score a prediction on the grid of its truth",
        ));
    }
    if options.ignore_affine {
        let in_file = other.to_file_order(&prediction.labels);
        let prediction = own.file_offsets().map(|place| in_file[place]).collect();
        return Ok(LabelPair { truth: truth.labels, prediction, dims, spacing_mm });
    }
    let world_from_voxel = own.canonical_world_from_voxel();
    let shift = world_from_voxel.largest_shift_voxels(&other.canonical_world_from_voxel(), dims);
    if shift > GRID_TOLERANCE_VOXELS {
        return Err(affine_error(pair, [&truth, &prediction], shift));
    }
    let [truth, prediction] = [truth, prediction].map(|volume| volume.labels);
    Ok(LabelPair { truth, prediction, dims, spacing_mm })
}

fn affine_error(pair: &SegmentationPair, volumes: [&LabelVolume; 2], shift: f64) -> CaseError {
    let affines = volumes.map(|volume| volume.source.world_from_voxel);
    let rows = affines.map(|affine| format!("{:?}", &affine.0[..3]));
    let file_name =
        |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let identity = match affines.map(|affine| affine.is_identity()) {
        [_, true] => Some(format!("its affine is the identity, the truth's {}", rows[0])),
        [true, false] => Some(format!("the truth's affine is the identity, its own {}", rows[1])),
        [false, false] => None,
    };
    let (problem, remedy) = match identity {
        Some(problem) => (
            format!("{problem}: one of the two was saved without its affine"),
            "save it with the affine of its case, or say --ignore-affine if voxel [i, j, k] of one is \
             voxel [i, j, k] of the other",
        ),
        None => (
            format!(
                "its affine {} puts voxels up to {shift:.3} voxels from where {} has them with {}",
                rows[1],
                file_name(&pair.truth),
                rows[0]
            ),
            "resample it onto the grid of its truth (labels with nearest neighbour), or say \
             --ignore-affine if voxel [i, j, k] of one is voxel [i, j, k] of the other",
        ),
    };
    CaseError::new(Reason::Geometry, pair.prediction.display(), problem, remedy)
}
