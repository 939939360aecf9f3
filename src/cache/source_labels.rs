//! Labels of a resampled case as its files have them, which are what it is scored against.

use crate::base::{OutOfMemory, collect_values};
use crate::volume::{Box3, SourceGrid, label};

/// Labels of the source's canonical grid: all that are not background lie in one box.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceLabels {
    /// The box.
    pub labelled: Box3,
    /// Canonical labels `[d, h, w]` of the box.
    pub labels: Vec<u8>,
}

/// View of a resampled case's labels on its source's canonical grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceLabelsView<'a> {
    /// Box around all labels that are not background.
    pub labelled: Box3,
    /// Canonical labels `[d, h, w]` of the box.
    pub labels: &'a [u8],
}

impl SourceLabels {
    /// Crops the labels `[d, h, w]` of a whole grid.
    pub(super) fn of_grid(labels: &[u8], grid: &SourceGrid) -> Result<Self, OutOfMemory> {
        let dims = grid.canonical_dims();
        let is_labelled = |place: usize| labels[place] != label::BACKGROUND;
        let labelled = Box3::bounding_box_or_voxel(dims, is_labelled);
        let rows = labelled.row_ranges(dims).flat_map(|row| labels[row].iter().copied());
        let labels = collect_values(labelled.dims.voxel_count(), rows)?;
        Ok(Self { labelled, labels })
    }

    /// View of the labels.
    pub fn as_view(&self) -> SourceLabelsView<'_> {
        SourceLabelsView { labelled: self.labelled, labels: &self.labels }
    }
}

impl SourceLabelsView<'_> {
    /// Copies the labels.
    pub fn to_owned(self) -> SourceLabels {
        SourceLabels { labelled: self.labelled, labels: self.labels.to_vec() }
    }
}
