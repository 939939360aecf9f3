//! A case that samples can be cut from, wherever its voxels live: in a mapped case file, or in
//! memory for as long as its samples need it.

use std::fmt;
use std::sync::Arc;

use crate::base::fingerprint::Fingerprint;
use crate::cache::annotation::MappedAnnotation;
use crate::cache::contents::CaseContents;
use crate::cache::foreground::ForegroundView;
use crate::cache::map::MappedCase;
use crate::pipeline::augment::view::View;
use crate::volume::case::{CaseId, SourceGrid};
use crate::volume::grid::Box3;
use crate::volume::region::{LabelScheme, Region};
use crate::volume::shelf::CaseShelf;

/// A case at hand. A sample does not tell which of the two it was cut from.
#[derive(Debug, Clone)]
pub enum CaseHandle {
    /// In the cache.
    Mapped(Arc<MappedCase>),
    /// In the cache, with a teacher's labels beside it. Its own, if it has any, cannot be reached
    /// from here.
    Annotated(Arc<MappedCase>, Arc<MappedAnnotation>),
    /// Decoded for its samples alone.
    Owned(Arc<OwnedCase>),
}

/// A case in memory, whose buffers go back to the shelf with the last handle.
pub struct OwnedCase {
    /// Taken only by the drop.
    contents: Option<CaseContents>,
    shelf: CaseShelf,
}

impl OwnedCase {
    /// Holds `contents` and gives them back to `shelf`.
    pub fn new(contents: CaseContents, shelf: CaseShelf) -> Arc<Self> {
        Arc::new(Self { contents: Some(contents), shelf })
    }

    fn contents(&self) -> &CaseContents {
        self.contents.as_ref().expect("there until it is dropped")
    }
}

impl Drop for OwnedCase {
    fn drop(&mut self) {
        if let Some(contents) = self.contents.take() {
            contents.give_back(&self.shelf);
        }
    }
}

impl fmt::Debug for OwnedCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedCase").field(&self.contents().id).finish()
    }
}

impl CaseHandle {
    /// Its name.
    pub fn id(&self) -> &CaseId {
        match self {
            Self::Mapped(case) | Self::Annotated(case, _) => case.id(),
            Self::Owned(case) => &case.contents().id,
        }
    }

    /// Its brain box, in the canonical grid.
    pub fn brain(&self) -> Box3 {
        match self {
            Self::Mapped(case) | Self::Annotated(case, _) => case.brain(),
            Self::Owned(case) => case.contents().brain,
        }
    }

    /// The grid it came in.
    pub fn source(&self) -> &SourceGrid {
        match self {
            Self::Mapped(case) | Self::Annotated(case, _) => case.source(),
            Self::Owned(case) => &case.contents().source,
        }
    }

    /// What the source's label values meant.
    pub fn scheme(&self) -> LabelScheme {
        match self {
            Self::Mapped(case) | Self::Annotated(case, _) => case.scheme(),
            Self::Owned(case) => case.contents().scheme,
        }
    }

    /// Of the source's compressed bytes.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Mapped(case) | Self::Annotated(case, _) => case.fingerprint(),
            Self::Owned(case) => case.contents().fingerprint,
        }
    }

    /// Where a region is, by the labels that are trained towards; empty for unlabelled cases.
    pub fn foreground(&self, region: Region) -> ForegroundView<'_> {
        match self {
            Self::Mapped(case) => case.foreground(region),
            Self::Annotated(_, annotation) => annotation.foreground(region),
            Self::Owned(case) => case.contents().foreground[region.index()].view(),
        }
    }

    /// As the augmentation sees it.
    pub fn view(&self) -> View<'_> {
        match self {
            Self::Mapped(case) => View::of_mapped(case),
            Self::Annotated(case, annotation) => View::of_annotated(case, annotation),
            Self::Owned(case) => View::of_contents(case.contents()),
        }
    }
}
