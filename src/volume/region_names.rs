//! Regions as settings and descriptions of datasets name them.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::volume::{LabelScheme, Region, RegionDefinition, RegionSet, label};

/// Name of the resection cavity's region and tissue.
const CAVITY: &str = "RC";

/// Regions as settings name them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "regions are names, as [\"ET\", \"TC\"], or lists of tissues, as core = [\"ET\", \"NCR\"]"
)]
pub enum RegionNames {
    /// Regions of BraTS and of single tissues, by name.
    Known(Vec<String>),
    /// Tissues of each region.
    Defined(BTreeMap<String, Vec<NamedTissue>>),
}

/// Tissue of a region, by name or by value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NamedTissue {
    /// Name in the label scheme.
    Named(String),
    /// Value in the label files.
    Value(i64),
}

impl JsonSchema for RegionNames {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RegionNames".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": ["array", "object"]})
    }
}

impl RegionNames {
    /// Makes the set of the regions.
    ///
    /// # Errors
    /// As [`RegionSet::new`], and if a tissue is unknown.
    pub fn to_set(
        &self,
        scheme: Option<LabelScheme>,
        painting: Option<&[String]>,
    ) -> Result<RegionSet, String> {
        RegionSet::new(self.definitions(scheme)?, painting)
    }

    /// Regions of tissues that `scheme` has; where it is open, of those that BraTS has.
    fn definitions(&self, scheme: Option<LabelScheme>) -> Result<Vec<RegionDefinition>, String> {
        match self {
            Self::Known(names) => {
                names.iter().map(|name| Ok((name.clone(), known_region(name, scheme)?))).collect()
            }
            Self::Defined(regions) => {
                let labels = |tissues: &[NamedTissue]| -> Result<Vec<u8>, String> {
                    tissues.iter().map(|tissue| tissue_label(tissue, scheme)).collect()
                };
                regions
                    .iter()
                    .map(|(name, tissues)| {
                        let labels = labels(tissues);
                        Ok((name.clone(), labels.map_err(|error| format!("{name}: {error}"))?))
                    })
                    .collect()
            }
        }
    }
}

/// Canonical labels of a region that needs no definition.
fn known_region(name: &str, scheme: Option<LabelScheme>) -> Result<Vec<u8>, String> {
    if let Some(region) = RegionSet::BRATS.find_region(name) {
        let has_all = scheme.is_none_or(|scheme| {
            region.labels().iter().all(|own| scheme.label_pairs().iter().any(|pair| pair.1 == *own))
        });
        if has_all {
            return Ok(region.labels().to_vec());
        }
    }
    let own = tissue_label(&NamedTissue::Named(name.to_owned()), scheme);
    own.map(|own| vec![own]).map_err(|_| {
        let known: Vec<&str> =
            Region::BRATS.map(Region::name).into_iter().chain(tissue_names(scheme)).collect();
        format!(
            "no region {name} is known, but {}; or define it, as regions.{name} = [\"…\"]",
            known.join(", ")
        )
    })
}

fn tissue_names(scheme: Option<LabelScheme>) -> Vec<&'static str> {
    scheme.map_or_else(|| vec!["NCR", "ED", "ET", CAVITY], LabelScheme::tissue_names)
}

fn tissue_label(tissue: &NamedTissue, scheme: Option<LabelScheme>) -> Result<u8, String> {
    match tissue {
        NamedTissue::Named(name) => {
            let found = match scheme {
                Some(scheme) => scheme.tissue_label(name),
                None => label::of_brats_tissue(name),
            };
            found.ok_or_else(|| {
                let known = tissue_names(scheme);
                let example = known.first().copied().unwrap_or_default();
                format!(
                    "no tissue {name} is labelled, but {}; write one of those, as [\"{example}\"]",
                    known.join(", ")
                )
            })
        }
        NamedTissue::Value(value) => {
            let Some(scheme) = scheme else {
                return Err(format!("value {value} has no meaning yet; set data.labels"));
            };
            let own = u8::try_from(*value).ok().and_then(|value| scheme.to_canonical(value));
            own.filter(|own| ![label::BACKGROUND, label::IGNORE].contains(own)).ok_or_else(|| {
                let is_tissue = |own: &u8| ![label::BACKGROUND, label::IGNORE].contains(own);
                let pairs = scheme.label_pairs().iter().filter(|(_, own)| is_tissue(own));
                let mut values: Vec<u8> = pairs.map(|(value, _)| *value).collect();
                values.sort_unstable();
                format!("value {value} is no tissue of {scheme}; write some of {values:?}")
            })
        }
    }
}
