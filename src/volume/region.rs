//! Evaluated regions: named sets of tissues, which may overlap.

use std::fmt;

use crate::volume::label;

/// An evaluated region: a handle, cheap to copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Region(&'static RegionEntry);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct RegionEntry {
    pub(super) name: &'static str,
    pub(super) index: usize,
    /// Canonical labels in the region, ascending.
    pub(super) labels: &'static [u8],
    /// Canonical label that a voxel of the region has where no region inside it is.
    pub(super) painted: u8,
    /// Canonical label of a voxel that leaves the region.
    pub(super) beyond: u8,
}

impl Region {
    /// Enhancing tumour.
    pub const ET: Self = Self(&BRATS_ENTRIES[0]);
    /// Tumour core: enhancing, necrotic and non-enhancing.
    pub const TC: Self = Self(&BRATS_ENTRIES[1]);
    /// Whole tumour: core and oedema.
    pub const WT: Self = Self(&BRATS_ENTRIES[2]);
    /// Regions of [`RegionSet::BRATS`](crate::volume::RegionSet::BRATS), ET ⊆ TC ⊆ WT.
    pub const BRATS: [Self; 3] = [Self::ET, Self::TC, Self::WT];

    pub(super) fn leak(entry: RegionEntry) -> Self {
        Self(Box::leak(Box::new(entry)))
    }

    /// Channel of this region in its set.
    pub const fn index(self) -> usize {
        self.0.index
    }

    /// The name in tables, files and metrics.
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// Canonical labels in the region, ascending.
    pub const fn labels(self) -> &'static [u8] {
        self.0.labels
    }

    /// True if a canonical label lies in the region.
    pub const fn contains(self, canonical: u8) -> bool {
        contains_label(self.0.labels, canonical)
    }

    /// Canonical label of a voxel of the region where no region inside it is.
    pub const fn label_painted(self) -> u8 {
        self.0.painted
    }

    /// Canonical label of a voxel that is dropped from the region: that of the smallest region around
    /// it, or the background's.
    pub const fn label_beyond(self) -> u8 {
        self.0.beyond
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.0.name, self.0.labels)
    }
}

const fn contains_label(labels: &[u8], canonical: u8) -> bool {
    let mut place = 0;
    while place < labels.len() {
        if labels[place] == canonical {
            return true;
        }
        place += 1;
    }
    false
}

const fn brats_entry(
    name: &'static str,
    index: usize,
    labels: &'static [u8],
    [painted, beyond]: [u8; 2],
) -> RegionEntry {
    RegionEntry { name, index, labels, painted, beyond }
}

static BRATS_ENTRIES: [RegionEntry; 3] = [
    brats_entry("ET", 0, &[label::ET], [label::ET, label::NCR]),
    brats_entry("TC", 1, &[label::NCR, label::ET], [label::NCR, label::ED]),
    brats_entry("WT", 2, &[label::NCR, label::ED, label::ET], [label::ED, label::BACKGROUND]),
];
