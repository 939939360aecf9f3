//! What a teacher says about a case: labels or region probabilities over its brain box, in a file of
//! their own beside the case file.
//!
//! One file per case, teacher and kind of target; the bytes are specified in `cache/README.md`. It
//! names the case file that it was made for by the fingerprint of its source, and brings a foreground
//! index of its own: who trains on it needs nothing of the case's true labels.

mod file;
mod shelf;

use crate::base::fingerprint::Fingerprint;
use crate::cache::foreground::{self, Foreground};
use crate::cache::map::MappedCase;
use crate::volume::case::CaseId;
use crate::volume::grid::Box3;
use crate::volume::region::Region;
use crate::volume::targets::{RegionShares, Targets, likeliest};

pub use self::file::MappedAnnotation;
pub(super) use self::shelf::file_name;

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

/// The voxels of an annotation, as mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotatedView<'a> {
    /// Canonical labels.
    Hard(&'a [u8]),
    /// Region probabilities in 255ths.
    Soft(&'a [RegionShares]),
}

impl AnnotatedView<'_> {
    /// Canonical labels: those of regions that are likelier than not.
    pub fn labels(self) -> Vec<u8> {
        match self {
            Self::Hard(labels) => labels.to_vec(),
            Self::Soft(shares) => shares.iter().copied().map(likeliest).collect(),
        }
    }
}

impl Annotated {
    /// Which of the two.
    pub const fn targets(&self) -> Targets {
        match self {
            Self::Hard(_) => Targets::Hard,
            Self::Soft(_) => Targets::Soft,
        }
    }

    /// The same, as if it were mapped.
    pub fn view(&self) -> AnnotatedView<'_> {
        match self {
            Self::Hard(labels) => AnnotatedView::Hard(labels),
            Self::Soft(shares) => AnnotatedView::Soft(shares),
        }
    }
}

/// Everything that an annotation's file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The case.
    pub id: CaseId,
    /// Of the case's source: another one is another case.
    pub fingerprint: Fingerprint,
    /// Of the way the case was prepared.
    pub preprocess: Fingerprint,
    /// Of what annotated.
    pub teacher: Fingerprint,
    /// The case's brain box.
    pub brain: Box3,
    /// The voxels.
    pub voxels: Annotated,
    /// Where the annotated regions are.
    pub foreground: [Foreground; Region::COUNT],
}

impl Annotation {
    /// What `teacher` says about `case`; of each region at most `cap` voxels are indexed.
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
