//! Annotations: a teacher's labels or region probabilities over a case's brain box, in a file
//! beside the case file.
//!
//! One file per case, teacher and kind of target, numbered where datasets have cases of one name; the bytes are specified in `cache/README.md`. It
//! names its case file by the fingerprint of the source, and has a foreground index of its own:
//! training on it needs nothing of the case's true labels.

mod file;
mod store;

use crate::base::Fingerprint;
use crate::cache::MappedCase;
use crate::cache::brain_box::SplitLabels;
use crate::cache::foreground::{Foreground, index_foreground};
use crate::volume::{Box3, CaseId, RegionProbabilities, Targets, Temperature, most_likely_label};

pub use self::file::MappedAnnotation;
pub(super) use self::store::{file_names, has_its_case};

/// Extension of an annotation's file.
pub(super) const EXTENSION: &str = "annotation";

/// The voxels of an annotation, `[d, h, w]` over the brain box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnnotationVoxels {
    /// Canonical labels.
    Hard(Vec<u8>),
    /// Region probabilities in 255ths.
    Soft(Vec<RegionProbabilities>),
}

/// The voxels of an annotation, borrowed from a mapped file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationVoxelsView<'a> {
    /// Canonical labels.
    Hard(&'a [u8]),
    /// Region probabilities in 255ths.
    Soft(&'a [RegionProbabilities]),
}

impl AnnotationVoxelsView<'_> {
    /// Canonical labels: those of the regions whose probability exceeds 0.5.
    pub fn to_labels(self) -> Vec<u8> {
        match self {
            Self::Hard(labels) => labels.to_vec(),
            Self::Soft(shares) => shares.iter().copied().map(most_likely_label).collect(),
        }
    }
}

impl AnnotationVoxels {
    /// Kind of target.
    pub const fn targets(&self) -> Targets {
        match self {
            Self::Hard(_) => Targets::Hard,
            Self::Soft(_) => Targets::Soft,
        }
    }

    /// Borrows the voxels like those of a mapped annotation.
    pub fn as_view(&self) -> AnnotationVoxelsView<'_> {
        match self {
            Self::Hard(labels) => AnnotationVoxelsView::Hard(labels),
            Self::Soft(shares) => AnnotationVoxelsView::Soft(shares),
        }
    }
}

/// Content of an annotation file.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// The case.
    pub id: CaseId,
    /// Fingerprint of the case's source files: another one is another case.
    pub fingerprint: Fingerprint,
    /// Fingerprint of the case's preprocessing.
    pub preprocess: Fingerprint,
    /// Fingerprint of the teacher.
    pub teacher: Fingerprint,
    /// The case's brain box.
    pub brain: Box3,
    /// The voxels.
    pub voxels: AnnotationVoxels,
    /// Temperature that probabilities were softened with; 1 of labels.
    pub temperature: Temperature,
    /// Foreground index of the annotated regions.
    pub foreground: Vec<Foreground>,
}

impl Annotation {
    /// Annotates `case` with `teacher`'s targets; of each region of the case's index at most `cap` voxels
    /// are indexed.
    ///
    /// # Panics
    /// If there are not as many voxels as the brain box has.
    pub fn for_case(
        case: &MappedCase,
        teacher: Fingerprint,
        voxels: AnnotationVoxels,
        cap: u32,
    ) -> Self {
        let labels = SplitLabels::inside_box(voxels.as_view().to_labels());
        assert_eq!(
            labels.inside.len(),
            case.brain_box().dims.voxel_count(),
            "one target per voxel"
        );
        Self {
            id: case.id().clone(),
            fingerprint: case.fingerprint(),
            preprocess: case.preprocess_fingerprint(),
            teacher,
            brain: case.brain_box(),
            foreground: index_foreground(case.indexed_regions(), &labels, case.fingerprint(), cap),
            voxels,
            temperature: Temperature::ONE,
        }
    }

    /// Records the temperature that the probabilities were softened with.
    #[must_use]
    pub fn at_temperature(self, temperature: Temperature) -> Self {
        Self { temperature, ..self }
    }
}
