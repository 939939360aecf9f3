//! Annotations: a teacher's labels or region probabilities over a case's brain box, in a file
//! beside the case file.
//!
//! One file per case, teacher and kind of target; the bytes are specified in `cache/README.md`. It
//! names its case file by the fingerprint of the source, and has a foreground index of its own:
//! training on it needs nothing of the case's true labels.

mod file;
mod store;

use crate::base::fingerprint::Fingerprint;
use crate::cache::foreground::{self, Foreground};
use crate::cache::map::MappedCase;
use crate::volume::case::CaseId;
use crate::volume::grid::Box3;
use crate::volume::region::Region;
use crate::volume::targets::{RegionShares, Targets, likeliest};

pub use self::file::MappedAnnotation;
pub(super) use self::store::file_name;

/// Extension of an annotation's file.
pub const EXTENSION: &str = "annotation";

/// The voxels of an annotation, `[d, h, w]` over the brain box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Annotated {
    /// Canonical labels.
    Hard(Vec<u8>),
    /// Region probabilities in 255ths.
    Soft(Vec<RegionShares>),
}

/// The voxels of an annotation, borrowed from a mapped file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotatedView<'a> {
    /// Canonical labels.
    Hard(&'a [u8]),
    /// Region probabilities in 255ths.
    Soft(&'a [RegionShares]),
}

impl AnnotatedView<'_> {
    /// Canonical labels: those of the regions whose probability exceeds 0.5.
    pub fn labels(self) -> Vec<u8> {
        match self {
            Self::Hard(labels) => labels.to_vec(),
            Self::Soft(shares) => shares.iter().copied().map(likeliest).collect(),
        }
    }
}

impl Annotated {
    /// Kind of target.
    pub const fn targets(&self) -> Targets {
        match self {
            Self::Hard(_) => Targets::Hard,
            Self::Soft(_) => Targets::Soft,
        }
    }

    /// Borrows the voxels like those of a mapped annotation.
    pub fn view(&self) -> AnnotatedView<'_> {
        match self {
            Self::Hard(labels) => AnnotatedView::Hard(labels),
            Self::Soft(shares) => AnnotatedView::Soft(shares),
        }
    }
}

/// Content of an annotation file.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub voxels: Annotated,
    /// Foreground index of the annotated regions.
    pub foreground: [Foreground; Region::COUNT],
}

impl Annotation {
    /// Annotates `case` with `teacher`'s targets; of each region at most `cap` voxels are indexed.
    ///
    /// # Panics
    /// If there are not as many voxels as the brain box has.
    pub fn of(case: &MappedCase, teacher: Fingerprint, voxels: Annotated, cap: u32) -> Self {
        let labels = voxels.view().labels();
        assert_eq!(labels.len(), case.brain().dims.voxels(), "one target per voxel");
        Self {
            id: case.id().clone(),
            fingerprint: case.fingerprint(),
            preprocess: case.preprocess(),
            teacher,
            brain: case.brain(),
            foreground: foreground::index(&labels, case.fingerprint(), cap),
            voxels,
        }
    }
}
