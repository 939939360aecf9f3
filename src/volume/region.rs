//! Labels and regions: the only place that knows what a label value means.
//!
//! Files disagree (4 or 3 for enhancing tumour, MSD numbers oedema 1), so a [`LabelScheme`] maps a
//! file's values to canonical labels when it is read and back when a prediction is written. Between
//! the two there are canonical labels only.

use serde::{Deserialize, Serialize};

/// Canonical label values, those of BraTS 2023 and later.
pub mod label {
    /// Healthy tissue and air.
    pub const BACKGROUND: u8 = 0;
    /// Necrotic and non-enhancing tumour core.
    pub const NCR: u8 = 1;
    /// Peritumoural oedema.
    pub const ED: u8 = 2;
    /// Enhancing tumour.
    pub const ET: u8 = 3;
    /// Resection cavity (BraTS 2024); in no region.
    pub const RC: u8 = 4;
}

/// An evaluated tumour region. They overlap: ET ⊆ TC ⊆ WT.
#[derive(strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Region {
    /// Enhancing tumour.
    Et,
    /// Tumour core: enhancing, necrotic and non-enhancing.
    Tc,
    /// Whole tumour: core and oedema.
    Wt,
}

impl Region {
    /// Number of regions: the channels of every network's output.
    pub const COUNT: usize = 3;

    /// Channel order of networks, tables and files.
    pub const ALL: [Self; Self::COUNT] = [Self::Et, Self::Tc, Self::Wt];

    /// Channel of this region.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The field's abbreviation.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// True if a canonical label lies in the region.
    pub const fn contains(self, canonical: u8) -> bool {
        match self {
            Self::Et => canonical == label::ET,
            Self::Tc => canonical == label::ET || canonical == label::NCR,
            Self::Wt => canonical == label::ET || canonical == label::NCR || canonical == label::ED,
        }
    }

    /// Canonical label of a voxel from its membership `[ET, TC, WT]`: an inner region overrides an
    /// outer one, and survives outside it.
    pub const fn label_from_regions(member: [bool; Self::COUNT]) -> u8 {
        match member {
            [true, _, _] => label::ET,
            [false, true, _] => label::NCR,
            [false, false, true] => label::ED,
            [false, false, false] => label::BACKGROUND,
        }
    }
}

/// Meaning of a dataset's label values.
#[derive(strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase",
    parse_err_ty = String, parse_err_fn = unknown_scheme)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelScheme {
    /// BraTS 2018 to 2021: 1 NCR/NET, 2 ED, 4 ET.
    Brats2018,
    /// BraTS 2023: 1 NCR, 2 ED, 3 ET.
    Brats2023,
    /// BraTS 2024 GLI: as 2023, and 4 is the resection cavity.
    Brats2024,
    /// Medical Segmentation Decathlon, Task01: 1 ED, 2 NCR, 3 ET.
    Msd,
}

impl LabelScheme {
    /// All schemes; the index is the code in a case file's header.
    pub const ALL: [Self; 4] = [Self::Brats2018, Self::Brats2023, Self::Brats2024, Self::Msd];

    /// `(value in the file, canonical label)`, without the background, which is 0 in all.
    pub const fn label_pairs(self) -> &'static [(u8, u8)] {
        match self {
            Self::Brats2018 => &[(1, label::NCR), (2, label::ED), (4, label::ET)],
            Self::Brats2023 => &[(1, label::NCR), (2, label::ED), (3, label::ET)],
            Self::Brats2024 => &[(1, label::NCR), (2, label::ED), (3, label::ET), (4, label::RC)],
            Self::Msd => &[(1, label::ED), (2, label::NCR), (3, label::ET)],
        }
    }

    /// The name in configurations and on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Code in a case file.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The scheme of a code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The canonical label of a file's value; `None` where the scheme does not define it.
    pub fn to_canonical(self, value: u8) -> Option<u8> {
        if value == 0 {
            return Some(label::BACKGROUND);
        }
        self.label_pairs().iter().find(|(file, _)| *file == value).map(|(_, canonical)| *canonical)
    }

    /// The file's value of a canonical label; the background where the scheme has none.
    pub fn to_file(self, canonical: u8) -> u8 {
        let pair = self.label_pairs().iter().find(|(_, own)| *own == canonical);
        pair.map_or(0, |(file, _)| *file)
    }
}

fn unknown_scheme(text: &str) -> String {
    let known = LabelScheme::ALL.map(LabelScheme::name).join(", ");
    format!("`{text}` is no label scheme; write one of {known}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_round_trips_its_own_values_and_refuses_others() {
        for scheme in LabelScheme::ALL {
            assert_eq!(LabelScheme::from_code(scheme.code()), Some(scheme));
            assert_eq!(scheme.name().parse(), Ok(scheme));
            for &(file, canonical) in scheme.label_pairs() {
                assert_eq!(scheme.to_canonical(file), Some(canonical));
                assert_eq!(scheme.to_file(canonical), file);
            }
            assert_eq!(scheme.to_canonical(5), None);
        }
        assert_eq!(LabelScheme::Brats2018.to_canonical(3), None);
    }

    #[test]
    fn painting_the_regions_of_a_label_gives_the_label() {
        for canonical in [label::BACKGROUND, label::NCR, label::ED, label::ET] {
            let member = Region::ALL.map(|region| region.contains(canonical));
            assert_eq!(Region::label_from_regions(member), canonical);
        }
        assert_eq!(
            Region::label_from_regions([true, false, false]),
            label::ET,
            "ET outside TC survives"
        );
        assert!(Region::ALL.iter().all(|region| !region.contains(label::RC)));
    }
}
