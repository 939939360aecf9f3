//! Channels of a run.

use crate::volume::{ModalitySet, RegionSet};

/// Channels of a run: modalities at the input of its network, regions at the output. Immutable, and
/// cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, derive_more::Display)]
#[display("{modalities}; {regions}")]
pub struct Channels {
    /// Modalities of the images.
    pub modalities: ModalitySet,
    /// Regions of probabilities, losses and scores.
    pub regions: RegionSet,
}
