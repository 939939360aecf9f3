//! The four MRI sequences of BraTS. Their order is fixed here and nowhere else.

use serde::{Deserialize, Serialize};

/// MRI sequence.
#[derive(strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// T1-weighted.
    T1,
    /// T1-weighted after gadolinium ("T1Gd").
    T1ce,
    /// T2-weighted.
    T2,
    /// T2 with the fluid suppressed.
    Flair,
}

impl Modality {
    /// Number of modalities: the channels of every image tensor.
    pub const COUNT: usize = 4;

    /// Channel order of case files, samples and networks.
    pub const ALL: [Self; Self::COUNT] = [Self::T1, Self::T1ce, Self::T2, Self::Flair];

    /// Channel of this modality.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name that BraTS 2018 to 2021 put into file names.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_the_place_in_the_order() {
        assert!(Modality::ALL.iter().enumerate().all(|(place, m)| m.index() == place));
    }
}
