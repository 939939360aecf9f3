//! Channels of a run.

use crate::volume::{ModalitySet, RegionSet};

/// Channels of a run: modalities at the input of its network, regions at the output. Immutable, and
/// cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, derive_more::Display)]
#[display("{modalities}; {regions}")]
pub struct RunChannels {
    /// Modalities of the images.
    pub modalities: ModalitySet,
    /// Regions of probabilities, losses and scores.
    pub regions: RegionSet,
}

impl RunChannels {
    /// Bytes that tell these channels from others, however the regions are painted; none for all
    /// modalities and the regions of BraTS.
    pub fn identity_bytes(self) -> Vec<u8> {
        if self.modalities.is_all() && self.regions.has_regions_of_brats() {
            return Vec::new();
        }
        let mut text = self.modalities.to_string();
        for region in self.regions.iter() {
            text += &format!("; {} {:?}", region.name(), region.labels());
        }
        text.into_bytes()
    }
}
