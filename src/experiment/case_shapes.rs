//! Shapes of a study's cases, counted from the headers of its files, or as they will be drawn or are
//! expected.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cache::PreprocessConfig;
use crate::experiment::config_file::CohortSection;
use crate::experiment::graph::listing::{CaseListing, ListingSource};
use crate::run::config::RunConfig;
use crate::volume::Dims;

/// Cases of one shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShapeCount {
    /// Extent in canonical orientation as the cases are stored, fastest axis first.
    pub shape: [usize; 3],
    /// Number of cases.
    pub cases: usize,
}

/// Shapes of a study's cases.
#[derive(Debug, Clone, Serialize)]
pub struct CaseShapes {
    /// Shapes, the most frequent first.
    pub shapes: Vec<ShapeCount>,
    /// Cases whose headers cannot be read; ingest will say why.
    pub unreadable: usize,
    /// True if nothing says the shape, and that of BraTS was taken.
    pub assumed: bool,
}

impl CaseShapes {
    /// Counts the shapes of `listing`, of `cases` cases where they are not there.
    pub fn count_shapes(
        listing: &CaseListing,
        run: &RunConfig,
        cohort: &CohortSection,
        cases: usize,
    ) -> Self {
        let one = |shape, assumed| Self {
            shapes: vec![ShapeCount { shape, cases }],
            unreadable: 0,
            assumed,
        };
        match (&listing.source, &cohort.phantoms, cohort.expected_shape) {
            (ListingSource::Found { .. }, ..) => Self::of_files(listing, &run.data.preprocess),
            (_, Some(phantoms), _) => one(phantoms.shape, false),
            (_, None, Some(expected)) => one(expected, false),
            (_, None, None) => one(Dims::BRATS.to_nifti(), true),
        }
    }

    fn of_files(listing: &CaseListing, preprocess: &PreprocessConfig) -> Self {
        let mut counts = BTreeMap::<[usize; 3], usize>::new();
        let mut unreadable = 0;
        for files in &listing.cases {
            match files.read_grid() {
                Ok(grid) => {
                    let (dims, spacing_mm) = (grid.canonical_dims(), grid.canonical_spacing_mm());
                    let (stored, _) = preprocess.stored_grid(dims, spacing_mm);
                    *counts.entry(stored.to_nifti()).or_default() += 1;
                }
                Err(_) => unreadable += 1,
            }
        }
        let mut shapes: Vec<ShapeCount> =
            counts.into_iter().map(|(shape, cases)| ShapeCount { shape, cases }).collect();
        shapes.sort_by_key(|one| std::cmp::Reverse(one.cases));
        Self { shapes, unreadable, assumed: false }
    }

    /// Mean of a figure over the cases, rounded up; 0 of no case.
    pub fn mean_of(&self, figure: impl Fn(Dims) -> u64) -> u64 {
        let cases: u64 = self.shapes.iter().map(|one| one.cases as u64).sum();
        let sum: u64 = self
            .shapes
            .iter()
            .map(|one| one.cases as u64 * figure(Dims::from_nifti(one.shape)))
            .sum();
        sum.div_ceil(cases.max(1))
    }

    /// The largest shape by voxels.
    pub fn largest(&self) -> Dims {
        let all = self.shapes.iter().map(|one| Dims::from_nifti(one.shape));
        all.max_by_key(|grid| grid.voxel_count()).unwrap_or(Dims::BRATS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_mean_over_the_cases_of_all_shapes_rounded_up() {
        let count = |shape, cases| ShapeCount { shape, cases };
        let shapes = vec![count([4, 4, 4], 3), count([8, 4, 4], 1)];
        let shapes = CaseShapes { shapes, unreadable: 0, assumed: false };
        assert_eq!(shapes.mean_of(|grid| grid.voxel_count() as u64), (3 * 64 + 128) / 4);
        assert_eq!(shapes.mean_of(|grid| u64::from(grid.to_nifti()[0] == 8)), 1, "rounded up");
        assert_eq!(shapes.largest().to_nifti(), [8, 4, 4]);
    }
}
