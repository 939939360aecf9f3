//! Description of a case file's content: what its channels and label values mean, and what
//! preprocessing did to its intensities. Stored as text, so that a later field needs no new format.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::Fingerprint;
use crate::cache::SourceState;
use crate::resampling::Interpolation;
use crate::volume::{LabelScheme, Modality, ModalitySet, RegionSet, RunChannels, SourceGrid};

/// Meaning of a case's channels and label values. The same files under another meaning are another
/// case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseMeaning {
    /// Names of the modalities, one to four; the lanes of the others are 0.
    pub modalities: Vec<String>,
    /// Name of the label scheme.
    pub label_scheme: String,
    /// Pairs of a value in the label file and its canonical label.
    pub label_values: Vec<(u8, u8)>,
    /// Names of the regions in the order of the foreground index.
    pub regions: Vec<String>,
    /// Canonical labels in each region; left out for those of BraTS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub region_labels: Vec<Vec<u8>>,
    /// Canonical label of each tissue of a scheme that a description defines.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tissues: BTreeMap<String, u8>,
}

impl CaseMeaning {
    /// Meaning of a case with these channels whose labels follow `scheme`.
    pub fn new(scheme: LabelScheme, channels: RunChannels) -> Self {
        let regions = channels.regions;
        let labels = regions.iter().map(|region| region.labels().to_vec());
        Self {
            modalities: channels.modalities.iter().map(|own| own.name().to_owned()).collect(),
            label_scheme: scheme.name().to_owned(),
            label_values: scheme.label_pairs().to_vec(),
            regions: regions.region_names().map(str::to_owned).collect(),
            region_labels: if regions.has_regions_of_brats() {
                Vec::new()
            } else {
                labels.collect()
            },
            tissues: scheme.described_tissues().cloned().unwrap_or_default(),
        }
    }

    /// Meaning of a case with all modalities and the regions of BraTS whose labels follow `scheme`.
    pub fn of_scheme(scheme: LabelScheme) -> Self {
        Self::new(scheme, RunChannels::default())
    }

    /// The scheme that a description defined.
    ///
    /// # Errors
    /// If it cannot be one.
    pub(super) fn described_scheme(&self) -> Result<LabelScheme, String> {
        LabelScheme::of_pairs(self.label_values.clone(), self.tissues.clone())
    }

    /// The regions of the foreground index; how they are painted is not kept.
    ///
    /// # Errors
    /// If they cannot be a set.
    pub(super) fn region_set(&self) -> Result<RegionSet, String> {
        if self.region_labels.is_empty() {
            let is_brats =
                self.regions.iter().map(String::as_str).eq(RegionSet::BRATS.region_names());
            return match is_brats {
                true => Ok(RegionSet::BRATS),
                false => Err("names regions without their labels".into()),
            };
        }
        if self.region_labels.len() != self.regions.len() {
            return Err("has not one list of labels for each region".into());
        }
        let defined = self.regions.iter().cloned().zip(self.region_labels.iter().cloned());
        RegionSet::new(defined, Some(&self.regions))
    }

    /// True if both have the same modalities and regions.
    pub(super) fn has_channels_of(&self, other: &Self) -> bool {
        let channels =
            |own: &Self| (own.modalities.clone(), own.regions.clone(), own.region_labels.clone());
        channels(self) == channels(other)
    }

    /// Fingerprint of the meaning, kept in the case file and in a run's `dataset.lock.json`.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_config(self)
    }
}

/// Reason why a value counts as background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackgroundBasis {
    /// The field's convention: 0 around a stripped brain.
    #[default]
    Zero,
    /// A constant around the head, found in the volume.
    Found,
    /// A threshold between air and tissue, found in the volume.
    Threshold,
    /// A mask file.
    Mask,
}

/// Clipping of a modality's tissue before it was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Clipping {
    /// Intensity that lower ones were raised to.
    pub low: f64,
    /// Intensity that higher ones were lowered to.
    pub high: f64,
    /// Voxels raised.
    pub below: u64,
    /// Voxels lowered.
    pub above: u64,
}

/// Record of what preprocessing did to one modality.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ModalityRecord {
    /// Intensity of the background.
    pub background: f64,
    /// Intensities up to this far from `background` were background as well.
    pub background_margin: f64,
    /// True if exactly 0 was background as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub background_zeros: bool,
    /// Reason why it is the background.
    pub background_basis: BackgroundBasis,
    /// Clipping, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clipping: Option<Clipping>,
}

/// Record of the voxel size that was asked for, and of what became of the source's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ResamplingRecord {
    /// The setting `spacing`: voxel edges in mm along canonical x, y and z.
    pub spacing_mm: [f64; 3],
    /// The setting `interpolation`.
    pub interpolation: Interpolation,
    /// Grid of the source files; absent where it has that voxel size and was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceGrid>,
}

/// Description of a case file's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseDescription {
    /// The setting `foreground` as it was: `nonzero`, `threshold`, or the name of a mask file.
    pub foreground: String,
    /// Meaning of channels and label values.
    pub meaning: CaseMeaning,
    /// Place and state of the source files; absent where they were not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceState>,
    /// Resampling, if a voxel size was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resampling: Option<ResamplingRecord>,
    /// Preprocessing of each modality, in the order of the channels.
    pub records: Vec<ModalityRecord>,
}

impl CaseDescription {
    /// Description of a case whose background is 0 and whose tissue was kept as it was.
    pub fn of_scheme(scheme: LabelScheme) -> Self {
        Self {
            foreground: "nonzero".to_owned(),
            meaning: CaseMeaning::of_scheme(scheme),
            source: None,
            resampling: None,
            records: vec![ModalityRecord::default(); Modality::COUNT],
        }
    }

    /// Grid of the source files, if the case was resampled to another.
    pub fn resampled_from(&self) -> Option<&SourceGrid> {
        self.resampling.as_ref()?.source.as_ref()
    }

    /// Writes the description as TOML, whose numbers come back to the last bit.
    ///
    /// # Errors
    /// If a number has no form in TOML.
    pub(super) fn to_text(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|error| error.to_string())
    }

    /// Reads what [`Self::to_text`] wrote; fields of a later writer are passed over.
    ///
    /// # Errors
    /// If the text is anything else, or describes no or too many channels.
    pub(super) fn from_text(text: &str) -> Result<Self, String> {
        let description: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let channels = description.meaning.modalities.len();
        if !(1..=Modality::COUNT).contains(&channels) || description.records.len() != channels {
            return Err(format!(
                "describes {channels} modalities and {} records of them",
                description.records.len()
            ));
        }
        let names = description.meaning.modalities.iter().map(String::as_str);
        ModalitySet::of_names(names)?;
        Ok(description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, Dims};

    #[test]
    fn a_description_comes_back_to_the_last_bit_and_a_later_field_is_passed_over() {
        let mut wanted = CaseDescription::of_scheme(LabelScheme::Brats2024);
        wanted.foreground = "brain_mask".into();
        wanted.source = Some(SourceState {
            folder: "/data/\"a\" b".into(),
            place: Fingerprint([7; 16]),
            state: Fingerprint([8; 16]),
        });
        wanted.resampling = Some(ResamplingRecord {
            spacing_mm: [1.0, 0.1 + 0.2, 3.0],
            interpolation: Interpolation::Cubic,
            source: Some(SourceGrid {
                dims: Dims([3, 4, 5]),
                world_from_voxel: Affine([[0.1 + 0.7; 4]; 4]),
                axes: [1, 2, 0],
                flipped: [true, false, true],
            }),
        });
        wanted.records[2] = ModalityRecord {
            background: -0.1 - 0.2,
            background_margin: 1e-3,
            background_zeros: true,
            background_basis: BackgroundBasis::Found,
            clipping: Some(Clipping { low: -1e300, high: 1.0 / 3.0, below: 1, above: 7 }),
        };
        let text = wanted.to_text().unwrap();
        assert_eq!(CaseDescription::from_text(&text).unwrap(), wanted);
        let later = format!("resampled = true\n{text}");
        assert_eq!(CaseDescription::from_text(&later).unwrap(), wanted);
        wanted.records.pop();
        let error = CaseDescription::from_text(&wanted.to_text().unwrap()).unwrap_err();
        assert!(error.contains("4 modalities and 3 records"), "{error}");
    }

    #[test]
    fn another_scheme_is_another_meaning() {
        let meanings = LabelScheme::ALL.map(|scheme| CaseMeaning::of_scheme(scheme).fingerprint());
        for (place, own) in meanings.iter().enumerate() {
            assert!(!meanings[..place].contains(own));
        }
    }
}
