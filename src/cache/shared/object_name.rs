//! Names of case files in object storage, and what is there by its names.

use std::collections::BTreeMap;
use std::fmt;

use crate::base::{CaseError, Fingerprint};
use crate::cache::MappedCase;
use crate::cache::format::{EXTENSION, folder_prefix};
use crate::cache::store::FOLDER_DIGITS;
use crate::storage::{ObjectFolder, StoredObject};
use crate::volume::{CaseId, case_id_problem};

/// Hex digits of a whole fingerprint.
const DIGITS: usize = 32;

/// Name of a case file's object:
/// `v2-<preprocess>/<case id>/<source>-<meaning>-<bytes>.case`, the last three whole fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObjectName {
    /// Name of the folder of its preprocessing.
    pub(super) folder: String,
    pub(super) id: CaseId,
    /// Fingerprint of the source's compressed bytes.
    pub(super) source: Fingerprint,
    /// Fingerprint of the meaning of its content.
    pub(super) meaning: Fingerprint,
    /// Fingerprint of the case file's own bytes, by which a copy is checked.
    pub(super) bytes: Fingerprint,
}

impl ObjectName {
    /// Name of a case file whose bytes have this fingerprint.
    fn of_case(case: &MappedCase, bytes: Fingerprint) -> Self {
        let preprocess = case.preprocess_fingerprint();
        Self {
            folder: folder_prefix() + &preprocess.short_hex(FOLDER_DIGITS),
            id: case.id().clone(),
            source: case.fingerprint(),
            meaning: case.description().meaning.fingerprint(),
            bytes,
        }
    }

    /// True if a file is what its name says.
    pub(super) fn names_case(&self, case: &MappedCase) -> bool {
        *self == Self::of_case(case, self.bytes)
    }

    /// Reads a name; `None` for an object that is no case file of this format.
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('/');
        let (folder, id, file) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = folder.strip_prefix(&folder_prefix())?;
        let is_folder = digits.len() == FOLDER_DIGITS && digits.bytes().all(is_hex_digit);
        let stem = file.strip_suffix(EXTENSION)?.strip_suffix('.')?;
        let prints: Option<Vec<Fingerprint>> = stem.split('-').map(parse_fingerprint).collect();
        let &[source, meaning, bytes] = prints?.as_slice() else { return None };
        let is_name = is_folder && parts.next().is_none() && case_id_problem(id).is_none();
        let (folder, id) = (folder.to_owned(), CaseId::new(id));
        is_name.then_some(Self { folder, id, source, meaning, bytes })
    }

    /// True if both are names of the same case, prepared and understood alike. Their bytes may differ by where
    /// the source files lay.
    fn is_same_case(&self, other: &Self) -> bool {
        (&self.folder, &self.id, self.source, self.meaning)
            == (&other.folder, &other.id, other.source, other.meaning)
    }
}

/// Case files under a prefix, by name.
pub(super) struct StoredCases(pub(super) BTreeMap<ObjectName, StoredObject>);

impl StoredCases {
    /// Lists them; objects that are none are passed over.
    pub(super) fn list(folder: &ObjectFolder) -> Result<Self, CaseError> {
        let objects = folder.list_objects()?.into_iter();
        let named = objects.filter_map(|object| Some((ObjectName::parse(&object.name)?, object)));
        Ok(Self(named.collect()))
    }

    /// True if the same case is there, prepared and understood alike.
    pub(super) fn has_case(&self, case: &MappedCase) -> bool {
        let first = ObjectName::of_case(case, Fingerprint([0; 16]));
        self.0.range(&first..).next().is_some_and(|(name, _)| name.is_same_case(&first))
    }

    /// Name of a case file with these bytes.
    pub(super) fn name_of(case: &MappedCase, bytes: &[u8]) -> String {
        ObjectName::of_case(case, Fingerprint::of_bytes(bytes)).to_string()
    }
}

fn is_hex_digit(digit: u8) -> bool {
    digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit)
}

fn parse_fingerprint(digits: &str) -> Option<Fingerprint> {
    (digits.len() == DIGITS && digits.bytes().all(is_hex_digit)).then_some(())?;
    serde_json::from_value(digits.into()).ok()
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, id, source, meaning, bytes } = self;
        write!(f, "{folder}/{id}/{source}-{meaning}-{bytes}.{EXTENSION}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written_and_others_are_none() {
        let name = ObjectName {
            folder: "v2-0123456789abcdef".to_owned(),
            id: CaseId::new("BraTS-GLI-00001-000"),
            source: Fingerprint([1; 16]),
            meaning: Fingerprint([2; 16]),
            bytes: Fingerprint([0xab; 16]),
        };
        let text = name.to_string();
        assert_eq!(ObjectName::parse(&text), Some(name.clone()));
        let moved = ObjectName { bytes: Fingerprint([9; 16]), ..name.clone() };
        assert!(name.is_same_case(&moved));
        assert!(!name.is_same_case(&ObjectName { meaning: Fingerprint([9; 16]), ..name.clone() }));
        for other in [
            text.replace("v2", "v3"),
            text.replace("abab", "ABAB"),
            text.replace(".case", ".case2"),
            text.replace("BraTS", ".BraTS"),
            text.replacen('-', "/", 2),
            format!("{text}/more"),
            text[1..].to_owned(),
            String::new(),
        ] {
            assert_eq!(ObjectName::parse(&other), None, "{other}");
        }
    }
}
