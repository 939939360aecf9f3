//! MRI sequences and sets of them: the channels of images. Their order is fixed here and nowhere else.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// MRI sequence.
///
/// ```
/// use gliaflow::prelude::Modality;
///
/// let names = Modality::ALL.map(Modality::name); // in the order of a batch's channels
/// assert_eq!(names, ["t1", "t1ce", "t2", "flair"]);
/// ```
#[derive(strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// Most modalities of a case: the lanes of a voxel in a case file and in a sample.
    pub const COUNT: usize = 4;

    /// Order of the lanes of case files and samples, and of the channels of networks.
    pub const ALL: [Self; Self::COUNT] = [Self::T1, Self::T1ce, Self::T2, Self::Flair];

    /// Lane of this modality.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name that BraTS 2018 to 2021 put into file names.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl FromStr for Modality {
    type Err = String;

    /// Reads a name as datasets write it, in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "t1" | "t1w" | "t1n" => Ok(Self::T1),
            "t1ce" | "t1c" | "t1gd" => Ok(Self::T1ce),
            "t2" | "t2w" => Ok(Self::T2),
            "flair" | "t2f" => Ok(Self::Flair),
            _ => Err(format!("`{text}` is no modality; write t1, t1ce, t2 or flair")),
        }
    }
}

/// Set of one to four modalities of a dataset or a run, in the order of [`Modality::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModalitySet(u8);

impl ModalitySet {
    /// All four.
    pub const ALL: Self = Self((1 << Modality::COUNT) - 1);

    /// Makes a set of names, in any order.
    ///
    /// # Errors
    /// If there is none, or one is unknown or comes twice.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut set = Self(0);
        for name in names {
            let modality: Modality = name.parse()?;
            if set.contains(modality) {
                return Err(format!("modality {modality} comes twice; name it once"));
            }
            set.0 |= 1 << modality.index();
        }
        match set.0 {
            0 => Err("no modality; name one to four of t1, t1ce, t2 and flair".into()),
            _ => Ok(set),
        }
    }

    /// Makes a set of modalities; `None` without any.
    pub fn of_modalities(modalities: impl IntoIterator<Item = Modality>) -> Option<Self> {
        let bits = modalities.into_iter().fold(0, |bits, modality| bits | 1 << modality.index());
        (bits != 0).then_some(Self(bits))
    }

    /// Iterates over the modalities in the order of channels.
    pub fn iter(self) -> impl Iterator<Item = Modality> + Clone {
        Modality::ALL.into_iter().filter(move |modality| self.contains(*modality))
    }

    /// Number of modalities: the channels of a network's input.
    #[expect(clippy::len_without_is_empty, reason = "no set is empty")]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// True if the modality is one of them.
    pub const fn contains(self, modality: Modality) -> bool {
        self.0 >> modality.index() & 1 == 1
    }

    /// The modalities of both; `None` if there is none.
    pub const fn common_with(self, others: Self) -> Option<Self> {
        match self.0 & others.0 {
            0 => None,
            both => Some(Self(both)),
        }
    }

    /// True for all four.
    pub const fn is_all(self) -> bool {
        self.0 == Self::ALL.0
    }

    /// True if all of these are among `others`.
    pub const fn is_subset_of(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }
}

/// Policy on a case that lacks a modality of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MissingModality {
    /// The case cannot be used.
    #[default]
    Error,
    /// Image of zeros, which are background.
    Zero,
}

impl MissingModality {
    /// True for the policy where none is set.
    pub fn is_error(&self) -> bool {
        *self == Self::Error
    }
}

impl Default for ModalitySet {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Display for ModalitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Modality::name).collect();
        f.write_str(&names.join(", "))
    }
}

impl fmt::Debug for ModalitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl Serialize for ModalitySet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for ModalitySet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Self::of_names(names.iter().map(String::as_str)).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ModalitySet {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ModalitySet".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Vec::<String>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_the_place_in_the_order() {
        assert!(Modality::ALL.iter().enumerate().all(|(place, m)| m.index() == place));
    }

    #[test]
    fn a_set_is_read_from_the_names_of_datasets_and_keeps_the_order_of_channels() {
        let set = ModalitySet::of_names(["T2F", "t1Gd"]).unwrap();
        assert_eq!((set.to_string().as_str(), set.len(), set.is_all()), ("t1ce, flair", 2, false));
        assert_eq!(serde_json::to_string(&set).unwrap(), r#"["t1ce","flair"]"#);
        assert_eq!(serde_json::from_str::<ModalitySet>(r#"["flair","t1c"]"#).unwrap(), set);
        assert!(set.is_subset_of(ModalitySet::ALL) && !ModalitySet::ALL.is_subset_of(set));
        assert_eq!(ModalitySet::of_names(["t1n", "t1c", "t2w", "t2f"]), Ok(ModalitySet::ALL));
        for (names, named) in [
            (&[][..], "no modality"),
            (&["t1", "T1w"], "comes twice"),
            (&["adc"], "`adc` is no modality"),
        ] {
            let refused = ModalitySet::of_names(names.iter().copied()).unwrap_err();
            assert!(refused.contains(named), "{refused}");
        }
    }
}
