//! Label values: the only place that knows what one means.
//!
//! Files disagree (4 or 3 for enhancing tumour, MSD numbers oedema 1), so a [`LabelScheme`] maps a
//! file's values to canonical labels when it is read and back when a prediction is written. Between
//! the two there are canonical labels only.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use crate::volume::{DescribedLabels, Region, RegionSet};

/// Canonical label values, those of BraTS 2023 and later.
pub mod label {
    /// Healthy tissue and air.
    pub const BACKGROUND: u8 = 0;
    /// Necrotic, cystic and non-enhancing tumour core.
    pub const NCR: u8 = 1;
    /// Peritumoural oedema.
    pub const ED: u8 = 2;
    /// Enhancing tumour.
    pub const ET: u8 = 3;
    /// Resection cavity (BraTS 2024); in none of the regions ET, TC and WT.
    pub const RC: u8 = 4;
    /// No tissue: a voxel that counts in no loss and no score.
    pub const IGNORE: u8 = u8::MAX;

    /// Names of BraTS's tissues and their canonical labels.
    pub const BRATS_TISSUES: [(&str, u8); 4] = [("NCR", NCR), ("ED", ED), ("ET", ET), ("RC", RC)];

    /// Canonical label of one of BraTS's tissues by its name.
    pub fn of_brats_tissue(tissue: &str) -> Option<u8> {
        BRATS_TISSUES.into_iter().find(|(name, _)| *name == tissue).map(|(_, own)| own)
    }
}

/// Meaning of a dataset's label values; `docs/labels.md` has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum LabelScheme {
    /// BraTS 2018 to 2021: 1 NCR/NET, 2 ED, 4 ET (Baid et al. 2021, arXiv:2107.02314).
    #[default]
    Brats2018,
    /// BraTS 2023, PED among them: 1 NCR, 2 ED, 3 ET (synapse.org/brats2023; for PED Kazerooni et
    /// al. 2023, arXiv:2305.17033).
    Brats2023,
    /// BraTS 2024 GLI, after treatment: as 2023, and 4 is the resection cavity (de Verdier et al.
    /// 2024, arXiv:2405.18368).
    Brats2024,
    /// Medical Segmentation Decathlon, Task01: 1 ED, 2 NCR, 3 ET (Antonelli et al. 2022,
    /// arXiv:2106.05735; the values are in the task's `dataset.json`).
    Msd,
    /// BraTS 2024 PED: 1 ET, 2 non-enhancing tumour, 3 cystic component, 4 ED (Kazerooni et al.
    /// 2024, arXiv:2404.15009).
    Brats2024Ped,
    /// Tissues by value, as a configuration or a dataset's description defines them.
    Described(&'static DescribedLabels),
}

impl LabelScheme {
    /// All schemes with a name; the index is the code in a case file's header.
    pub const ALL: [Self; 5] =
        [Self::Brats2018, Self::Brats2023, Self::Brats2024, Self::Msd, Self::Brats2024Ped];

    /// Code of a [`Self::Described`] scheme in a case file's header.
    pub const DESCRIBED: u8 = u8::MAX;

    /// `(value in the file, canonical label)`, without the background's 0.
    pub const fn label_pairs(self) -> &'static [(u8, u8)] {
        match self {
            Self::Brats2018 => &[(1, label::NCR), (2, label::ED), (4, label::ET)],
            Self::Brats2023 => &[(1, label::NCR), (2, label::ED), (3, label::ET)],
            Self::Brats2024 => &[(1, label::NCR), (2, label::ED), (3, label::ET), (4, label::RC)],
            Self::Msd => &[(1, label::ED), (2, label::NCR), (3, label::ET)],
            // Regions know one tissue of the core beside ET; the first value is what is written.
            Self::Brats2024Ped => {
                &[(2, label::NCR), (1, label::ET), (3, label::NCR), (4, label::ED)]
            }
            Self::Described(labels) => labels.label_pairs(),
        }
    }

    /// The file's values in rising order, the background's 0 first.
    pub fn file_values(self) -> Vec<u8> {
        let mut values: Vec<u8> = self.label_pairs().iter().map(|(file, _)| *file).collect();
        values.push(0);
        values.sort_unstable();
        values
    }

    /// True if the scheme defines every one of a file's values.
    pub fn defines_all(self, values: impl IntoIterator<Item = i64>) -> bool {
        values
            .into_iter()
            .all(|value| u8::try_from(value).is_ok_and(|value| self.to_canonical(value).is_some()))
    }

    /// The name in configurations and on the command line; `described` for one without.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brats2018 => "brats2018",
            Self::Brats2023 => "brats2023",
            Self::Brats2024 => "brats2024",
            Self::Msd => "msd",
            Self::Brats2024Ped => "brats2024-ped",
            Self::Described(_) => "described",
        }
    }

    /// Code in a case file.
    pub fn code(self) -> u8 {
        let place = Self::ALL.iter().position(|own| *own == self);
        place.map_or(Self::DESCRIBED, |place| place as u8)
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
        if canonical == label::BACKGROUND {
            return 0;
        }
        let pair = self.label_pairs().iter().find(|(_, own)| *own == canonical);
        pair.map_or(0, |(file, _)| *file)
    }

    /// Canonical label of a tissue by its name.
    pub fn tissue_label(self, tissue: &str) -> Option<u8> {
        match self {
            Self::Described(labels) => labels.tissue_labels().get(tissue).copied(),
            _ => {
                let canonical = label::of_brats_tissue(tissue)?;
                self.label_pairs().iter().any(|(_, own)| *own == canonical).then_some(canonical)
            }
        }
    }

    /// Names of its tissues, in the order of the canonical labels.
    pub fn tissue_names(self) -> Vec<&'static str> {
        let mut named: Vec<(u8, &'static str)> = match self {
            Self::Described(labels) => {
                labels.tissue_labels().iter().map(|(name, own)| (*own, name.as_str())).collect()
            }
            _ => label::BRATS_TISSUES
                .into_iter()
                .filter(|(_, own)| self.label_pairs().iter().any(|pair| pair.1 == *own))
                .map(|(name, own)| (own, name))
                .collect(),
        };
        named.sort_unstable();
        named.into_iter().map(|(_, name)| name).collect()
    }

    /// Tissues of a [`Self::Described`] scheme with their canonical labels.
    pub const fn described_tissues(self) -> Option<&'static BTreeMap<String, u8>> {
        match self {
            Self::Described(labels) => Some(labels.tissue_labels()),
            _ => None,
        }
    }

    /// True if a value of the scheme counts in no loss and no score.
    pub fn has_ignored(self) -> bool {
        self.label_pairs().iter().any(|(_, canonical)| *canonical == label::IGNORE)
    }

    /// Regions of the scheme's tissues where nothing else is said: ET, TC and WT, and RC where it has a
    /// resection cavity; a region for each tissue where it has others than BraTS.
    pub fn default_regions(self) -> RegionSet {
        let has = |canonical: &u8| self.label_pairs().iter().any(|(_, own)| own == canonical);
        match self {
            Self::Described(labels) => labels.default_regions(),
            _ if has(&label::RC) => *DEFAULT_WITH_CAVITY,
            _ => RegionSet::BRATS,
        }
    }
}

/// ET, RC, TC and WT.
static DEFAULT_WITH_CAVITY: LazyLock<RegionSet> = LazyLock::new(|| {
    let brats = Region::BRATS.map(|region| (region.name().to_owned(), region.labels().to_vec()));
    let cavity = ("RC".to_owned(), vec![label::RC]);
    RegionSet::new(brats.into_iter().chain([cavity]), None).unwrap_or_default()
});

impl fmt::Display for LabelScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for LabelScheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is no label scheme; write one of {known}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_round_trips_its_own_values_and_refuses_others() {
        for scheme in LabelScheme::ALL {
            assert_eq!(LabelScheme::from_code(scheme.code()), Some(scheme));
            assert_eq!(scheme.name().parse(), Ok(scheme));
            assert_eq!(serde_json::to_value(scheme).unwrap(), scheme.name());
            assert_eq!(scheme.to_string(), scheme.name());
            for &(file, canonical) in scheme.label_pairs() {
                assert_eq!(scheme.to_canonical(file), Some(canonical));
                // The cystic component of PED 2024 is written as its non-enhancing tumour.
                let is_cyst = scheme == LabelScheme::Brats2024Ped && file == 3;
                assert_eq!(scheme.to_file(canonical), if is_cyst { 2 } else { file });
                assert_eq!(scheme.to_canonical(scheme.to_file(canonical)), Some(canonical));
            }
            assert_eq!(scheme.to_canonical(5), None);
            assert!(scheme.defines_all(scheme.file_values().into_iter().map(i64::from)));
            assert!(!scheme.defines_all([0, 5]) && !scheme.defines_all([-1]));
        }
        assert_eq!(LabelScheme::Brats2018.to_canonical(3), None);
    }

    /// File values in each region, as the releases' papers have them.
    #[test]
    fn every_scheme_puts_its_values_into_the_regions_of_its_release() {
        let expected: [(LabelScheme, [&[u8]; Region::BRATS.len()]); 5] = [
            (LabelScheme::Brats2018, [&[4], &[1, 4], &[1, 2, 4]]),
            (LabelScheme::Brats2023, [&[3], &[1, 3], &[1, 2, 3]]),
            (LabelScheme::Brats2024, [&[3], &[1, 3], &[1, 2, 3]]),
            (LabelScheme::Msd, [&[3], &[2, 3], &[1, 2, 3]]),
            (LabelScheme::Brats2024Ped, [&[1], &[1, 2, 3], &[1, 2, 3, 4]]),
        ];
        assert_eq!(expected.map(|(scheme, _)| scheme), LabelScheme::ALL);
        for (scheme, regions) in expected {
            for (region, wanted) in Region::BRATS.into_iter().zip(regions) {
                let inside = |value: &u8| {
                    scheme.to_canonical(*value).is_some_and(|label| region.contains(label))
                };
                let found: Vec<u8> = scheme.file_values().into_iter().filter(inside).collect();
                assert_eq!(found, wanted, "{scheme} {region}");
            }
        }
    }
}
