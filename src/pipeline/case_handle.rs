//! Handle of a case that samples are cut from: in a mapped case file, or in memory for as long as
//! its samples need it.

use std::fmt;
use std::sync::Arc;

use crate::augment::CaseView;
use crate::base::{CaseError, Fingerprint};
use crate::buffers::CaseBuffers;
use crate::cache::{CaseContents, ForegroundView, MappedAnnotation, MappedCase};
use crate::volume::{Box3, CaseId, LabelScheme, SourceGrid};

/// Case that samples can be cut from. Samples are the same for all variants.
#[derive(Debug, Clone)]
pub enum CaseHandle {
    /// Mapped case file, with its own labels.
    Mapped(Arc<MappedCase>),
    /// Mapped case file with a teacher's labels. Its own labels cannot be reached.
    Annotated(Arc<MappedCase>, Arc<MappedAnnotation>),
    /// Case in memory, decoded for one sample.
    Owned(Arc<OwnedCase>),
}

/// Case in memory, whose buffers return to the pool with the last handle.
pub struct OwnedCase {
    /// `None` only while it is dropped.
    contents: Option<CaseContents>,
    case_buffers: CaseBuffers,
}

impl OwnedCase {
    /// Holds `contents`, whose buffers return to `case_buffers`.
    pub fn new(contents: CaseContents, case_buffers: CaseBuffers) -> Arc<Self> {
        Arc::new(Self { contents: Some(contents), case_buffers })
    }

    fn contents(&self) -> &CaseContents {
        self.contents.as_ref().expect("there until it is dropped")
    }
}

impl Drop for OwnedCase {
    fn drop(&mut self) {
        if let Some(contents) = self.contents.take() {
            contents.give_back(&self.case_buffers);
        }
    }
}

impl fmt::Debug for OwnedCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedCase").field(&self.contents().id).finish()
    }
}

impl CaseHandle {
    /// Identifier of the case.
    pub fn id(&self) -> &CaseId {
        match self {
            Self::Mapped(case) | Self::Annotated(case, _) => case.id(),
            Self::Owned(case) => &case.contents().id,
        }
    }

    /// Brain box in the canonical grid.
    pub fn brain_box(&self) -> Box3 {
        match self {
            Self::Mapped(case) | Self::Annotated(case, _) => case.brain_box(),
            Self::Owned(case) => case.contents().brain,
        }
    }

    /// Place in the brain box of `other` of a voxel `[z, y, x]` of this case's: the same voxel of the canonical grid.
    pub fn place_in(&self, other: &Self, at: [isize; 3]) -> [isize; 3] {
        let [own, others] = [self, other].map(|case| case.brain_box().start);
        std::array::from_fn(|axis| at[axis] + own[axis] as isize - others[axis] as isize)
    }

    /// Grid of the voxels: that of the source files, or the one that they were resampled to.
    pub fn source_grid(&self) -> &SourceGrid {
        match self {
            Self::Mapped(case) | Self::Annotated(case, _) => case.source_grid(),
            Self::Owned(case) => &case.contents().source,
        }
    }

    /// Meaning of the label values in the source files.
    pub fn label_scheme(&self) -> LabelScheme {
        match self {
            Self::Mapped(case) | Self::Annotated(case, _) => case.label_scheme(),
            Self::Owned(case) => case.contents().scheme,
        }
    }

    /// Fingerprint of the source's compressed bytes.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Mapped(case) | Self::Annotated(case, _) => case.fingerprint(),
            Self::Owned(case) => case.contents().fingerprint,
        }
    }

    /// Foreground of each region by the labels that are trained on; empty for unlabelled cases.
    pub fn foregrounds(&self) -> impl Iterator<Item = ForegroundView<'_>> {
        let count = match self {
            Self::Mapped(case) => case.indexed_regions().len(),
            Self::Annotated(_, annotation) => annotation.region_count(),
            Self::Owned(case) => case.contents().foreground.len(),
        };
        (0..count).map(|region| match self {
            Self::Mapped(case) => case.foreground_at(region),
            Self::Annotated(_, annotation) => annotation.foreground_at(region),
            Self::Owned(case) => case.contents().foreground[region].as_view(),
        })
    }

    /// Checks that every page that was read so far was there. Call it behind the making of a sample.
    ///
    /// # Errors
    /// If a mapped file was cut short, or its disk failed, under the mapping: the sample is worthless.
    pub fn check_pages(&self) -> Result<(), CaseError> {
        match self {
            Self::Mapped(case) => case.check_pages(),
            Self::Annotated(case, annotation) => {
                case.check_pages()?;
                annotation.check_pages()
            }
            Self::Owned(_) => Ok(()),
        }
    }

    /// View of the voxels for the augmentation.
    pub fn case_view(&self) -> CaseView<'_> {
        match self {
            Self::Mapped(case) => CaseView::of_mapped(case),
            Self::Annotated(case, annotation) => CaseView::of_annotated(case, annotation),
            Self::Owned(case) => CaseView::of_contents(case.contents()),
        }
    }
}
