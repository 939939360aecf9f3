//! Grids of the files of one case, compared. Files may store one grid in several voxel orders, and
//! their affines may differ by far less than a voxel; anything more is an error.

use std::path::Path;

use crate::base::{CaseError, Reason};
use crate::brats::read::RawVolume;
use crate::brats::source_grid;
use crate::volume::{Affine, GRID_TOLERANCE_VOXELS, SourceGrid};

/// Largest difference between any two entries of two affines that is no difference.
const NOISE_MM: f64 = 1e-3;

/// Grid of one file.
#[derive(Clone, Copy)]
pub(super) struct FileGrid<'a> {
    path: &'a Path,
    pub(super) source: SourceGrid,
}

/// Agreement of a file with the first one of its case.
pub(super) struct GridMatch {
    /// Reorientation of the file to the case's canonical grid.
    pub(super) source: SourceGrid,
    /// Largest shift between the two grids, where it is more than noise.
    pub(super) tolerated_voxels: Option<f64>,
}

impl<'a> FileGrid<'a> {
    pub(super) fn from_file(
        path: &'a Path,
        packed: &RawVolume,
        volumes: usize,
    ) -> Result<Self, CaseError> {
        let dims = packed.header.volume_dims(path, volumes)?;
        Ok(Self { path, source: source_grid(dims, packed.header.world_from_voxel) })
    }

    /// Matches another file of the case, whose first file this is.
    ///
    /// # Errors
    /// If their canonical grids differ in shape, or in place by more than
    /// [`GRID_TOLERANCE_VOXELS`].
    pub(super) fn match_file(&self, other: &Self) -> Result<GridMatch, CaseError> {
        let same_order =
            SourceGrid { world_from_voxel: other.source.world_from_voxel, ..self.source };
        // Near a diagonal, rounding may give two affines different orders of axes: the first counts.
        let candidates = if self.source.dims == other.source.dims {
            vec![same_order, other.source]
        } else {
            vec![other.source]
        };
        for source in candidates {
            if let Some(tolerated_voxels) = self.tolerate(&source) {
                return Ok(GridMatch { source, tolerated_voxels });
            }
        }
        Err(self.disagreement(other))
    }

    /// Shift of a grid that is close enough to this one, if it is more than noise; `None` if the
    /// grid is another one.
    fn tolerate(&self, other: &SourceGrid) -> Option<Option<f64>> {
        let dims = self.source.canonical_dims();
        if dims != other.canonical_dims() {
            return None;
        }
        let own = self.source.canonical_world_from_voxel();
        let theirs = other.canonical_world_from_voxel();
        let shift = own.largest_shift_voxels(&theirs, dims);
        let is_noise = own.distance_mm(&theirs) <= NOISE_MM;
        match (shift <= GRID_TOLERANCE_VOXELS, is_noise) {
            (true, true) => Some(None),
            (true, false) | (false, true) => Some(Some(shift)),
            (false, false) => None,
        }
    }

    fn disagreement(&self, other: &Self) -> CaseError {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let (own, theirs) = (&self.source, &other.source);
        let subject = other.path.display();
        if own.canonical_dims() != theirs.canonical_dims() {
            let problem = format!("is {}, but {name} is {}", theirs.dims, own.dims);
            let remedy = "resample it onto the other's grid, or download the case again";
            return CaseError::new(Reason::Geometry, subject, problem, remedy);
        }
        let places = [own, theirs].map(SourceGrid::canonical_world_from_voxel);
        let distance = places[0].largest_shift_mm(&places[1], own.canonical_dims());
        let rows = |affine: &Affine| format!("{:?}", &affine.0[..3]);
        let problem = format!(
            "its affine {} is up to {distance} mm from {} of {name}",
            rows(&theirs.world_from_voxel),
            rows(&own.world_from_voxel)
        );
        let remedy = format!(
            "if the voxels correspond, copy the other's affine and resample nothing: `fslcpgeom {} \
             {subject}`, or nibabel; else resample it onto the other's grid",
            self.path.display()
        );
        CaseError::new(Reason::Geometry, subject, problem, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Dims;

    fn affine(rows: [[f64; 3]; 3], origin: [f64; 3]) -> Affine {
        let row = |axis: usize| [rows[axis][0], rows[axis][1], rows[axis][2], origin[axis]];
        Affine([row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]])
    }

    fn placed(shape: [usize; 3], world_from_voxel: Affine) -> FileGrid<'static> {
        let source = source_grid(Dims::from_nifti(shape), world_from_voxel);
        FileGrid { path: Path::new("a_t1.nii.gz"), source }
    }

    const LPS: [[f64; 3]; 3] = [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 2.0]];

    #[test]
    fn one_grid_in_any_voxel_order_is_one_grid() {
        let first = placed([24, 28, 26], affine(LPS, [0.0, 27.0, -9.0]));
        let ras = affine([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]], [-23.0, 0.0, -9.0]);
        // Stored from foot to head first, then from right to left, then from back to front.
        let turned = affine([[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [2.0, 0.0, 0.0]], [0.0, 0.0, -9.0]);
        for (shape, world_from_voxel) in [([24, 28, 26], ras), ([26, 24, 28], turned)] {
            let other = placed(shape, world_from_voxel);
            let matched = first.match_file(&other).unwrap();
            assert_eq!((matched.source, matched.tolerated_voxels), (other.source, None));
        }
        // The same numbers without the shift of the origin are another place: 23 mm away.
        let elsewhere = affine([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]], [0.0; 3]);
        let other = placed([24, 28, 26], elsewhere);
        let error = first.match_file(&other).err().unwrap().to_string();
        assert!(error.contains("mm from") && error.contains("copy the other's affine"), "{error}");
    }

    #[test]
    fn differences_far_below_a_voxel_are_tolerated_and_told_from_noise() {
        let first = placed([240, 240, 155], affine(LPS, [0.0, 239.0, 0.0]));
        let shifted = |by: f64| placed([240, 240, 155], affine(LPS, [by, 239.0, 0.0]));
        let tolerated = |other: &FileGrid<'_>| first.match_file(other).map(|m| m.tolerated_voxels);
        assert_eq!(tolerated(&shifted(9e-4)).unwrap(), None);
        assert!(
            tolerated(&shifted(0.05)).unwrap().is_some_and(|shift| (shift - 0.05).abs() < 1e-9)
        );
        let error = tolerated(&shifted(0.11)).unwrap_err();
        assert_eq!(error.reason, Reason::Geometry);
        // What was noise by its entries stays usable, and is told of where it adds up.
        let mut turned = LPS;
        turned[0][1] = 9e-4;
        let turned = placed([240, 240, 155], affine(turned, [0.0, 239.0, 0.0]));
        assert!(tolerated(&turned).unwrap().is_some_and(|shift| shift > 0.2));
    }

    #[test]
    fn another_shape_is_another_grid_whatever_the_order() {
        let first = placed([24, 28, 26], affine(LPS, [0.0; 3]));
        let error = first.match_file(&placed([24, 26, 28], affine(LPS, [0.0; 3])));
        let text = error.err().unwrap().to_string();
        assert!(text.contains("is 24x26x28, but a_t1.nii.gz is 24x28x26"), "{text}");
    }
}
