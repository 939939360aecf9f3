//! Channels and axes of a file of weights: what its free text names, or else its program's defaults.

use std::collections::HashMap;

use serde_json::Value;

use crate::nets::exchange::ABOUT;
use crate::volume::{Modality, Region};

/// Orders of channels and axes where a file names none.
#[derive(Debug, Clone, Copy)]
pub struct WeightLayout {
    /// Order of the input channels.
    pub modalities: [Modality; Modality::COUNT],
    /// Order of the output channels.
    pub regions: [Region; Region::BRATS.len()],
    /// Volume axes x, y, z as in nibabel, instead of z, y, x as they lie in the file.
    pub x_first: bool,
}

impl WeightLayout {
    /// Orders of this program for BraTS.
    pub const BRATS: Self =
        Self { modalities: Modality::ALL, regions: Region::BRATS, x_first: false };
}

/// Channels and axes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileLayout {
    pub(super) modalities: Vec<String>,
    pub(super) regions: Vec<String>,
    pub(super) x_first: bool,
    /// True if the file itself names its channels.
    pub(super) is_stated: bool,
}

impl FileLayout {
    /// Reads what a file's free text names under `modalities`, `regions` and `axes`, separated by commas or
    /// in what this program writes; `defaults` hold for the rest.
    ///
    /// # Errors
    /// If a modality is unknown, a name is there twice or none is, or the axes are no order.
    pub(super) fn of_text(
        text: &HashMap<String, String>,
        defaults: WeightLayout,
    ) -> Result<Self, String> {
        let about = text.get(ABOUT).and_then(|about| serde_json::from_str::<Value>(about).ok());
        let named = |key: &str| -> Option<Vec<String>> {
            if let Some(names) = text.get(key) {
                return Some(names.split(',').map(|name| name.trim().to_owned()).collect());
            }
            let listed = about.as_ref()?[key].as_array()?;
            Some(listed.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect())
        };
        let modalities = named("modalities");
        let modalities = modalities.map(|names| check_names("modalities", &names, known_modality));
        let regions = named("regions");
        let regions =
            regions.map(|names| check_names("regions", &names, |name| Some(name.to_owned())));
        let x_first = match text.get("axes").map(String::as_str) {
            None => defaults.x_first,
            Some("xyz") => true,
            Some("zyx") => false,
            Some(axes) => {
                return Err(format!("has axes = `{axes}`, which are neither xyz nor zyx"));
            }
        };
        let is_stated = modalities.is_some() && regions.is_some();
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Ok(Self {
            modalities: match modalities {
                Some(named) => named?,
                None => own(&defaults.modalities.map(Modality::name)),
            },
            regions: match regions {
                Some(named) => named?,
                None => own(&defaults.regions.map(Region::name)),
            },
            x_first,
            is_stated,
        })
    }
}

fn known_modality(name: &str) -> Option<String> {
    let modality: Modality = name.parse().ok()?;
    Some(modality.name().to_owned())
}

/// Names as this program has them, each once.
fn check_names(
    key: &str,
    names: &[String],
    known: fn(&str) -> Option<String>,
) -> Result<Vec<String>, String> {
    let wrong = |problem: &str| {
        let example = if key == "modalities" { "t1ce,t1,t2,flair" } else { "tc,wt,et" };
        format!(
            "has {key} = `{}`, {problem}; name each channel once, as \"{key}\": \"{example}\"",
            names.join(",")
        )
    };
    let mut found: Vec<String> = Vec::new();
    for name in names {
        let Some(own) = known(name).filter(|own| !own.is_empty()) else {
            return Err(wrong(&format!("of which `{name}` is none")));
        };
        if found.iter().any(|other| other.eq_ignore_ascii_case(&own)) {
            return Err(wrong(&format!("of which `{name}` is there twice")));
        }
        found.push(own);
    }
    if found.is_empty() { Err(wrong("which are none")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: WeightLayout = WeightLayout {
        modalities: [Modality::T1ce, Modality::T1, Modality::T2, Modality::Flair],
        regions: [Region::TC, Region::WT, Region::ET],
        x_first: true,
    };

    fn read(pairs: &[(&str, &str)]) -> Result<FileLayout, String> {
        let text = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        FileLayout::of_text(&text.collect(), OTHERS)
    }

    #[test]
    fn a_file_may_name_its_own_channels_and_axes_and_the_defaults_hold_for_the_rest() {
        let plain = read(&[]).unwrap();
        assert_eq!(plain.modalities, ["t1ce", "t1", "t2", "flair"]);
        assert_eq!((plain.regions.join(","), plain.is_stated), ("TC,WT,ET".to_owned(), false));
        let named = read(&[("modalities", "FLAIR, t1c"), ("axes", "zyx")]).unwrap();
        assert_eq!((named.modalities.join(","), named.x_first), ("flair,t1ce".to_owned(), false));
        let ours = r#"{"modalities": ["t1ce", "flair"], "regions": ["ET", "NCR"]}"#;
        let ours = read(&[(ABOUT, ours)]).unwrap();
        assert_eq!((ours.modalities.len(), ours.regions.join(",")), (2, "ET,NCR".to_owned()));
        assert!(ours.is_stated);
    }

    #[test]
    fn names_that_are_none_or_there_twice_are_refused() {
        for (key, value, problem) in [
            ("modalities", "t1,adc", "`adc` is none"),
            ("modalities", "t1,T1w", "`T1w` is there twice"),
            ("regions", "tc,wt,WT", "`WT` is there twice"),
            ("regions", "tc,", "`` is none"),
            ("axes", "xzy", "neither xyz nor zyx"),
        ] {
            let refused = read(&[(key, value)]).unwrap_err();
            assert!(refused.contains(key) && refused.contains(value), "{refused}");
            assert!(refused.contains(problem), "{refused}");
        }
    }
}
