//! Description of a dataset: how its cases, files and modalities are found, which patient a case
//! belongs to, and what its label values mean.
//!
//! `dataset.toml` beside the data, or the file of the setting `data.description`. A built-in layout is
//! such a description, too: a file in `layouts/`, to which `layout = "NAME"` refers. `docs/datasets.md`
//! is the manual.

mod built_in;
mod check;
mod dataset_json;
mod example_lines;
mod field_names;
mod file;
mod one_or_many;
mod pattern;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::base::Fingerprint;
use crate::brats::{SchemeReason, StackPlaces};
use crate::volume::{LabelScheme, Modality, ModalitySet, RegionNames, RegionSet};

pub(super) use built_in::all_built_in;
pub use built_in::{BUILT_IN_LAYOUTS, find_built_in};
pub(super) use dataset_json::{DATASET_JSON, JsonDescription};
pub(super) use field_names::modality_of_file;
pub use file::DESCRIPTION_FILE;
pub use one_or_many::OneOrMany;
pub use pattern::NamePattern;
pub(super) use pattern::{MODALITY, Parts};

/// Version of the file format.
const SCHEMA: u32 = 1;

/// Volume of a stack that is no modality of a case.
pub(super) const UNUSED_VOLUME: &str = "-";

/// Description of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct DatasetDescription {
    /// Version of this format.
    #[schemars(range(min = SCHEMA, max = SCHEMA))]
    #[default(SCHEMA)]
    pub schema: u32,
    /// Built-in layout that holds wherever this file says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub layout: Option<String>,
    /// Public pages and code that state these names and labels; without one they are unproved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Meaning of the label values, by name (docs/labels.md). Of several, the usual one first, where
    /// names do not tell them apart.
    #[serde(skip_serializing_if = "is_empty")]
    #[schemars(with = "Vec<LabelScheme>")]
    pub label_scheme: OneOrMany<LabelScheme>,
    /// Tissues and the values that mean them, in place of `label_scheme`; `ignore` names values that
    /// count in no loss and no score, `background` such as are no tissue beside 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "std::collections::BTreeMap<String, Vec<u8>>")]
    pub labels: Option<LabelScheme>,
    /// Regions, and the tissues or values in each.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RegionNames")]
    pub regions: Option<RegionNames>,
    /// Order in which regions become labels, a later one over an earlier one; needed where two overlap
    /// and neither lies in the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub painting: Option<Vec<String>>,
    /// Paths of image files, from the end; a file counts for the first that it fits. `{modality}` is a
    /// name under `[modalities]`; without it a file is a stack of all modalities in `order`.
    #[serde(skip_serializing_if = "is_empty")]
    #[schemars(with = "Vec<String>")]
    pub images: OneOrMany<NamePattern>,
    /// Paths of label files, from the end, the preferred first.
    #[serde(skip_serializing_if = "is_empty")]
    #[schemars(with = "Vec<String>")]
    pub label_files: OneOrMany<NamePattern>,
    /// JSON file that lists images and labels of each case, as MONAI's datalists do, in place of
    /// `images` and `label_files`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub datalist: Option<PathBuf>,
    /// Name of a case, made of parts of `images`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("default" = "{case}"))]
    pub case: Option<NamePattern>,
    /// Name of a case with a part `{patient}`: its patient. Of several the first that fits; without
    /// one, or where `images` has the part, cases are of a patient each, or of that part's.
    #[serde(skip_serializing_if = "is_empty")]
    #[schemars(with = "Vec<String>")]
    pub patient: OneOrMany<NamePattern>,
    /// Modality of each volume of a stack, or `-` for one that is not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
    /// Names of the modalities in file names.
    #[serde(skip_serializing_if = "ModalityNames::is_empty")]
    pub modalities: ModalityNames,
    /// Source of the meaning of the label values.
    #[serde(skip)]
    pub(super) scheme_reason: SchemeReason,
}

/// Names of each modality in file names: one, or several for files of different makers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModalityNames {
    /// T1-weighted.
    #[serde(skip_serializing_if = "is_empty")]
    #[schemars(with = "Vec<String>")]
    pub t1: OneOrMany<String>,
    /// T1-weighted after gadolinium.
    #[serde(skip_serializing_if = "is_empty")]
    #[schemars(with = "Vec<String>")]
    pub t1ce: OneOrMany<String>,
    /// T2-weighted.
    #[serde(skip_serializing_if = "is_empty")]
    #[schemars(with = "Vec<String>")]
    pub t2: OneOrMany<String>,
    /// T2 with the fluid suppressed.
    #[serde(skip_serializing_if = "is_empty")]
    #[schemars(with = "Vec<String>")]
    pub flair: OneOrMany<String>,
}

fn is_empty<T>(list: &OneOrMany<T>) -> bool {
    list.is_empty()
}

impl ModalityNames {
    /// Names of one modality.
    pub const fn names_of(&self, modality: Modality) -> &OneOrMany<String> {
        match modality {
            Modality::T1 => &self.t1,
            Modality::T1ce => &self.t1ce,
            Modality::T2 => &self.t2,
            Modality::Flair => &self.flair,
        }
    }

    /// All names with their modality, the first of each before its others.
    pub(super) fn all_names(&self) -> impl Iterator<Item = (Modality, &str)> {
        Modality::ALL.into_iter().flat_map(|modality| {
            self.names_of(modality).iter().map(move |name| (modality, name.as_str()))
        })
    }

    /// Modality of a name.
    pub(super) fn modality_of(&self, name: &str) -> Option<Modality> {
        self.all_names().find(|(_, own)| *own == name).map(|(modality, _)| modality)
    }

    fn is_empty(&self) -> bool {
        self.all_names().next().is_none()
    }
}

impl DatasetDescription {
    /// Fingerprint of everything that the description says, however it is written; `None` for a built-in
    /// layout as it is.
    pub(super) fn own_fingerprint(&self) -> Option<Fingerprint> {
        // Neither does the name of a list say what is in it; a run keeps its cases by fingerprint.
        let plain = |own: &Self| Self {
            layout: None,
            sources: Vec::new(),
            datalist: None,
            scheme_reason: SchemeReason::default(),
            ..own.clone()
        };
        let own = plain(self);
        let is_built_in = all_built_in().iter().any(|layout| plain(layout) == own);
        (!is_built_in).then(|| Fingerprint::of_config(&own))
    }

    /// True if a file of it holds all modalities, one volume each.
    pub(super) fn is_of_stacks(&self) -> bool {
        !self.order.is_empty()
    }

    /// Places of the modalities in a stack; `None` where files hold one each.
    pub(super) fn stack_places(&self) -> Option<StackPlaces> {
        let place = |modality: Modality| self.order.iter().position(|own| own == modality.name());
        let volumes = self.order.len();
        self.is_of_stacks().then(|| StackPlaces { places: Modality::ALL.map(place), volumes })
    }

    /// The same description with the label scheme that was asked for.
    #[must_use]
    pub(super) fn with_scheme(self, asked: Option<LabelScheme>) -> Self {
        match asked {
            Some(scheme) => Self { label_scheme: vec![scheme].into(), labels: None, ..self },
            None => self,
        }
    }

    /// True if the description says what its label values mean.
    pub(super) fn tells_scheme(&self) -> bool {
        !self.label_scheme.is_empty() || self.labels.is_some()
    }

    /// Label schemes that the names allow, the usual one first; where there are no labels, that of
    /// predictions.
    pub(super) fn schemes(&self) -> &[LabelScheme] {
        const UNLABELLED: &[LabelScheme] = &[LabelScheme::Brats2018];
        match &self.labels {
            Some(labels) => std::slice::from_ref(labels),
            None if self.label_scheme.is_empty() => UNLABELLED,
            None => &self.label_scheme,
        }
    }

    /// Modalities of the cases.
    pub fn modality_set(&self) -> ModalitySet {
        let is_there = |modality: &Modality| match self.is_of_stacks() {
            true => self.order.iter().any(|own| own == modality.name()),
            false => !self.modalities.names_of(*modality).is_empty(),
        };
        // A datalist names its images otherwise.
        let named = ModalitySet::of_modalities(Modality::ALL.into_iter().filter(is_there));
        named.unwrap_or_default()
    }

    /// Regions of labels of this scheme: those that the description names, or the scheme's own.
    pub(super) fn regions_of(&self, scheme: LabelScheme) -> RegionSet {
        let named = self.regions.as_ref();
        let own = named.and_then(|named| named.to_set(Some(scheme), self.painting.as_deref()).ok());
        own.unwrap_or_else(|| scheme.default_regions())
    }
}
