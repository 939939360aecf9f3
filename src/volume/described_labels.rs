//! Tissues by label value, as a configuration or a dataset's description defines them, and how a
//! [`LabelScheme`] is written in files.

use std::collections::BTreeMap;
use std::sync::Mutex;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::volume::{LabelScheme, RegionSet, label};

/// Name under which values are listed that count in no loss and no score.
const IGNORED: &str = "ignore";

/// Name under which values are listed that are no tissue, beside 0.
const BACKGROUND: &str = "background";

/// First canonical label of a tissue that BraTS does not have.
const FIRST_OTHER: u8 = label::RC + 1;

/// Tissues of a dataset by the values in its label files.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DescribedLabels {
    pairs: Vec<(u8, u8)>,
    tissues: BTreeMap<String, u8>,
}

impl DescribedLabels {
    /// `(value in the file, canonical label)`, without the background's 0. Of several values of a
    /// tissue the first is what is written.
    pub(super) const fn label_pairs(&self) -> &[(u8, u8)] {
        self.pairs.as_slice()
    }

    /// Tissues and their canonical labels: NCR, ED, ET and RC have those of BraTS.
    pub(super) const fn tissue_labels(&self) -> &BTreeMap<String, u8> {
        &self.tissues
    }

    /// Regions of the tissues, as [`LabelScheme::default_regions`] has them.
    pub(super) fn default_regions(&self) -> RegionSet {
        let has = |tissue: &str| self.tissues.contains_key(tissue);
        let is_of_brats = self.tissues.values().all(|own| *own < FIRST_OTHER);
        if is_of_brats && ["NCR", "ED", "ET"].into_iter().all(has) {
            let scheme = if has("RC") { LabelScheme::Brats2024 } else { LabelScheme::Brats2023 };
            return scheme.default_regions();
        }
        let each = self.tissues.iter().map(|(name, own)| (name.clone(), vec![*own]));
        RegionSet::new(each, None).unwrap_or_default()
    }
}

/// Values of a tissue: one, or several of which the first is what is written.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a tissue's value is a whole number or a list of them, as ET = 3")]
enum TissueValues {
    One(i64),
    Several(Vec<i64>),
}

impl TissueValues {
    fn into_list(self) -> Vec<i64> {
        match self {
            Self::One(value) => vec![value],
            Self::Several(values) => values,
        }
    }
}

/// Schemes that this process has met: a handful, one for each meaning of labels.
static KNOWN: Mutex<Vec<&'static DescribedLabels>> = Mutex::new(Vec::new());

impl LabelScheme {
    /// Scheme of tissues by name with their values; `ignore` names values that count in no loss and no
    /// score, `background` such as are no tissue beside 0.
    ///
    /// # Errors
    /// If a value is none of 1 to 255, or is given twice, or there is no tissue.
    pub fn of_tissues(
        values: impl IntoIterator<Item = (String, Vec<i64>)>,
    ) -> Result<Self, String> {
        let mut pairs = Vec::new();
        let mut tissues = BTreeMap::new();
        let mut values: Vec<(String, Vec<i64>)> = values.into_iter().collect();
        // Labels of other tissues follow the values of the files, however the tissues are named.
        values.sort_by_key(|(name, values)| (values.first().copied(), name.clone()));
        let mut next = FIRST_OTHER;
        for (name, values) in values {
            let canonical = match name.as_str() {
                IGNORED => label::IGNORE,
                BACKGROUND => label::BACKGROUND,
                _ if values.is_empty() => return Err(format!("tissue {name} without a value")),
                tissue => {
                    let canonical = label::of_brats_tissue(tissue).unwrap_or(next);
                    next += u8::from(canonical == next);
                    tissues.insert(name.clone(), canonical);
                    canonical
                }
            };
            for value in values {
                let in_file = u8::try_from(value).ok();
                match in_file.filter(|own| *own > 0 || canonical == label::BACKGROUND) {
                    Some(0) => {}
                    Some(in_file) => pairs.push((in_file, canonical)),
                    None => return Err(format!("{name} = {value}; write values of 1 to 255")),
                }
            }
        }
        Self::of_pairs(pairs, tissues)
    }

    /// Scheme of the same values, whose tissues have the canonical labels that `other` has for those of
    /// their names.
    ///
    /// # Errors
    /// If one has a tissue, beside those of BraTS, that the other has not.
    pub fn align_with(self, other: Self) -> Result<Self, String> {
        let own_tissues = |scheme: Self| -> BTreeMap<String, u8> {
            let tissues = scheme.described_tissues().cloned().unwrap_or_default();
            tissues.into_iter().filter(|(_, own)| *own >= FIRST_OTHER).collect()
        };
        let (own, others) = (own_tissues(self), own_tissues(other));
        if let Some(name) = others.keys().find(|name| !own.contains_key(*name)) {
            let known = self.tissue_names().join(", ");
            return Err(format!("no label value is the tissue {name}, but {known}"));
        }
        let mut renumbered = BTreeMap::new();
        for (name, canonical) in &own {
            let Some(label) = others.get(name) else {
                let value = self.to_file(*canonical);
                let known = other.tissue_names().join(", ");
                return Err(format!(
                    "label value {value} is the tissue {name}, which is none of {known}"
                ));
            };
            renumbered.insert(*canonical, *label);
        }
        let Self::Described(labels) = self else { return Ok(self) };
        let place = |canonical: &u8| renumbered.get(canonical).copied().unwrap_or(*canonical);
        let pairs = labels.pairs.iter().map(|(value, own)| (*value, place(own)));
        let tissues = labels.tissues.iter().map(|(name, own)| (name.clone(), place(own)));
        Self::of_pairs(pairs.collect(), tissues.collect())
    }

    /// Scheme of pairs of a value in the file and a canonical label, and of the tissues' labels.
    ///
    /// # Errors
    /// If a value or a label is there twice, or a pair has a label that is no tissue's.
    pub fn of_pairs(pairs: Vec<(u8, u8)>, tissues: BTreeMap<String, u8>) -> Result<Self, String> {
        if tissues.is_empty() {
            return Err("no tissue; name at least one with its value, such as ET = 3".into());
        }
        for (place, (value, canonical)) in pairs.iter().enumerate() {
            if pairs[..place].iter().any(|(other, _)| other == value) {
                return Err(format!("label value {value} twice; give each value one meaning"));
            }
            let is_tissue = tissues.values().any(|own| own == canonical);
            if !is_tissue && ![label::BACKGROUND, label::IGNORE].contains(canonical) {
                return Err(format!("label value {value} of no tissue"));
            }
        }
        let mut labels: Vec<u8> = tissues.values().copied().collect();
        labels.sort_unstable();
        if labels.windows(2).any(|pair| pair[0] == pair[1]) || labels.contains(&label::IGNORE) {
            return Err("two tissues with one canonical label".into());
        }
        let labels = DescribedLabels { pairs, tissues };
        let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let same = known.iter().copied().find(|own| **own == labels);
        let kept = same.unwrap_or_else(|| {
            let kept: &'static DescribedLabels = Box::leak(Box::new(labels));
            known.push(kept);
            kept
        });
        Ok(Self::Described(kept))
    }
}

impl Serialize for LabelScheme {
    /// Writes a name, or tissues with their values.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self::Described(labels) = self else { return serializer.serialize_str(self.name()) };
        let values = |canonical: u8| -> Vec<u8> {
            let own = labels.pairs.iter().filter(|(_, own)| *own == canonical);
            own.map(|(value, _)| *value).collect()
        };
        let reserved = [(BACKGROUND, label::BACKGROUND), (IGNORED, label::IGNORE)];
        let tissues = labels.tissues.iter().map(|(name, own)| (name.as_str(), *own));
        let named = tissues.chain(reserved).map(|(name, own)| (name, values(own)));
        serializer.collect_map(named.filter(|(_, values)| !values.is_empty()))
    }
}

impl<'de> Deserialize<'de> for LabelScheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "labels are the name of a scheme, or tissues with whole numbers as their \
                         values, as ET = 3"
        )]
        enum Written {
            Name(String),
            Tissues(BTreeMap<String, TissueValues>),
        }
        let scheme = match Written::deserialize(deserializer)? {
            Written::Name(name) => name.parse(),
            Written::Tissues(tissues) => {
                Self::of_tissues(tissues.into_iter().map(|(name, own)| (name, own.into_list())))
            }
        };
        scheme.map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for LabelScheme {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LabelScheme".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = Self::ALL.map(Self::name);
        schemars::json_schema!({"type": "string", "enum": names})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::label::{BACKGROUND, ED, ET, IGNORE, NCR, RC};

    fn read(text: &str) -> Result<LabelScheme, String> {
        #[derive(Deserialize)]
        struct Holder {
            labels: LabelScheme,
        }
        let read: Result<Holder, _> = toml::from_str(text);
        read.map(|holder| holder.labels).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn tissues_are_read_by_value_and_those_of_brats_keep_their_labels() {
        let text =
            "labels = { ED = 7, CC = [3, 6], NCR = 1, ET = 2, ignore = 255, background = 9 }";
        let scheme = read(text).unwrap();
        let wanted =
            [(0, BACKGROUND), (1, NCR), (2, ET), (3, 5), (6, 5), (7, ED), (9, 0), (255, IGNORE)];
        for (value, canonical) in wanted {
            assert_eq!(scheme.to_canonical(value), Some(canonical), "{value}");
        }
        assert_eq!(scheme.to_canonical(4), None);
        assert_eq!([0, NCR, ED, ET, 5, RC].map(|own| scheme.to_file(own)), [0, 1, 7, 2, 3, 0]);
        assert_eq!(scheme.tissue_names(), ["NCR", "ED", "ET", "CC"]);
        assert!(scheme.has_ignored() && scheme.code() == LabelScheme::DESCRIBED);
        let again =
            toml::to_string(&std::collections::BTreeMap::from([("labels", scheme)])).unwrap();
        assert_eq!(read(&again), Ok(scheme));
        let each: Vec<&str> = scheme.default_regions().region_names().collect();
        assert_eq!(each, ["CC", "ED", "ET", "NCR"]);
    }

    #[test]
    fn tissues_of_brats_give_the_regions_of_brats_and_a_cavity_its_own() {
        let names =
            |text: &str| read(text).unwrap().default_regions().region_names().collect::<Vec<_>>();
        assert_eq!(names("labels = { NCR = 1, ED = 2, ET = 4 }"), ["ET", "TC", "WT"]);
        assert_eq!(names("labels = { NCR = 1, ED = 2, ET = 3, RC = 4 }"), ["ET", "RC", "TC", "WT"]);
        assert_eq!(names("labels = { tumour = 1 }"), ["tumour"]);
        assert_eq!(names("labels = \"brats2024\""), ["ET", "RC", "TC", "WT"]);
        assert_eq!(names("labels = \"msd\""), ["ET", "TC", "WT"]);
    }

    #[test]
    fn tissues_go_by_name_from_one_scheme_to_another() {
        let truth = read("labels = { NCR = 1, tumour = 2, cyst = 3 }").unwrap();
        let other = read("labels = { cyst = 1, tumour = [2, 7], ED = 5, ignore = 9 }").unwrap();
        assert_ne!(other.tissue_label("cyst"), truth.tissue_label("cyst"));
        let aligned = other.align_with(truth).unwrap();
        for tissue in ["cyst", "tumour"] {
            assert_eq!(aligned.tissue_label(tissue), truth.tissue_label(tissue));
        }
        let labels = [1, 2, 7, 5, 9].map(|value| aligned.to_canonical(value).unwrap());
        assert_eq!(labels, [6, 5, 5, ED, IGNORE]);
        assert_eq!(truth.align_with(truth), Ok(truth));
        let brats = LabelScheme::Brats2018;
        assert_eq!(brats.align_with(LabelScheme::Msd), Ok(brats));
        let refused = truth.align_with(brats).unwrap_err();
        assert_eq!(refused, "label value 3 is the tissue cyst, which is none of NCR, ED, ET");
        let refused = brats.align_with(truth).unwrap_err();
        assert_eq!(refused, "no label value is the tissue cyst, but NCR, ED, ET");
    }

    #[test]
    fn values_without_one_meaning_are_refused() {
        for (text, named) in [
            ("labels = { ET = 3, NCR = 3 }", "label value 3 twice"),
            ("labels = { ET = 0 }", "ET = 0; write values of 1 to 255"),
            ("labels = { ET = 256 }", "ET = 256"),
            ("labels = { ET = [] }", "tissue ET without a value"),
            ("labels = { ignore = 3 }", "no tissue"),
            ("labels = \"brats2025\"", "`brats2025` is no label scheme"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(named), "{refused}");
        }
    }
}
