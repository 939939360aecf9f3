//! `dataset.json` of the Medical Segmentation Decathlon and of nnU-Net, as a description: order or
//! channels of the images, meaning of the labels, ending of the files.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::Table;

use crate::base::{CaseError, Reason};
use crate::brats::description::field_names::{
    modality_of_name, region_rank, scheme_of_pairs, tissue_of_name,
};
use crate::storage;
use crate::volume::{Modality, label};

/// Name of the file.
pub(in crate::brats) const DATASET_JSON: &str = "dataset.json";

/// Field of the meaning of labels.
const LABELS: &str = "label_scheme";

/// Part of a description that a `dataset.json` tells: its layout, and the fields that it knows or why
/// not.
pub(in crate::brats) struct JsonDescription {
    pub(in crate::brats) path: PathBuf,
    pub(in crate::brats) layout: &'static str,
    fields: Vec<(&'static str, Result<toml::Value, CaseError>)>,
}

impl JsonDescription {
    /// Reads the `dataset.json` of a folder, or of the one above for a folder of images; `None` if it
    /// has none of the two forms.
    ///
    /// # Errors
    /// If the file cannot be read, or is no JSON.
    pub(in crate::brats) fn of_folder(folder: &Path) -> Result<Option<Self>, CaseError> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let is_of_images = name.starts_with("images") || name.starts_with("labels");
        let root = if is_of_images { folder.join("..") } else { folder.to_owned() };
        let path = root.join(DATASET_JSON);
        if !storage::is_file(&path) {
            return Ok(None);
        }
        let text = storage::read_text(&path)?;
        let document: Value = serde_json::from_str(&text).map_err(|error| {
            let remedy = "mend it, or describe the dataset in dataset.toml (docs/datasets.md)";
            CaseError::new(Reason::Format, path.display(), format!("is no JSON: {error}"), remedy)
        })?;
        let has_numbered_files = || {
            let listed = storage::list_folder(&root.join("imagesTr")).unwrap_or_default();
            listed.iter().any(|path| path.to_string_lossy().contains("_0000."))
        };
        let channels = |key: &str| document[key].as_object().filter(|table| !table.is_empty());
        let layout = match (channels("channel_names"), channels("modality")) {
            (Some(_), _) => "nnunet",
            // nnU-Net's first version has the Decathlon's names and a file a channel.
            (None, Some(_)) if has_numbered_files() => "nnunet",
            (None, Some(_)) => "decathlon",
            (None, None) => return Ok(None),
        };
        let channels = channels("channel_names").or(channels("modality"));
        let channels = channels.cloned().unwrap_or_default();
        let mut fields = match layout {
            "decathlon" => vec![("order", read_order(&path, &channels))],
            _ => vec![
                ("modalities", read_channels(&path, &channels)),
                ("images", Ok(image_patterns(&document))),
                ("label_files", Ok(label_patterns(&document))),
            ],
        };
        fields.push((LABELS, read_labels(&path, &document["labels"])));
        Ok(Some(Self { path, layout, fields }))
    }

    /// The fields that the file tells, under `own`, which is put over them.
    ///
    /// # Errors
    /// The first that the file does not tell and `own` does not have.
    pub(in crate::brats) fn to_table(&self, own: &Table) -> Result<Table, CaseError> {
        let mut table = Table::new();
        table.insert("layout".to_owned(), self.layout.into());
        let has_labels = own.contains_key("label_scheme") || own.contains_key("labels");
        for (name, value) in &self.fields {
            match value {
                _ if *name == LABELS && has_labels => {}
                // Tissues by value are not a scheme's name.
                Ok(tissues) if *name == LABELS && tissues.is_table() => {
                    table.insert("labels".to_owned(), tissues.clone());
                    table.insert(LABELS.to_owned(), toml::Value::Array(Vec::new()));
                }
                Ok(value) => _ = table.insert((*name).to_owned(), value.clone()),
                Err(_) if own.contains_key(*name) => {}
                Err(unknown) => return Err(unknown.clone()),
            }
        }
        Ok(table)
    }
}

fn field_error(path: &Path, field: &str, problem: String, remedy: String) -> CaseError {
    CaseError::new(Reason::Format, format!("{}: {field}", path.display()), problem, remedy)
}

/// Channels in the order of their numbers.
fn numbered_channels(channels: &Map<String, Value>) -> Vec<(usize, String)> {
    let channel =
        |(number, name): (&String, &Value)| Some((number.parse().ok()?, name.as_str()?.to_owned()));
    let mut numbered: Vec<(usize, String)> = channels.iter().filter_map(channel).collect();
    numbered.sort();
    numbered
}

fn read_order(path: &Path, channels: &Map<String, Value>) -> Result<toml::Value, CaseError> {
    let numbered = numbered_channels(channels);
    let mut order = Vec::new();
    for (place, (number, name)) in numbered.iter().enumerate() {
        if place != *number {
            let problem = format!("names {} channels, but none is number {place}", numbered.len());
            let remedy = order_remedy("decathlon");
            return Err(field_error(path, "modality", problem, remedy));
        }
        let Some(modality) = modality_of_name(name).map(Modality::name) else {
            let problem = format!("names channel {number} {name:?}, which is no modality");
            return Err(field_error(path, "modality", problem, order_remedy("decathlon")));
        };
        if order.contains(&modality) {
            let problem = format!("names {modality} twice");
            return Err(field_error(path, "modality", problem, order_remedy("decathlon")));
        }
        order.push(modality);
    }
    Ok(order.into_iter().map(toml::Value::from).collect::<Vec<_>>().into())
}

fn order_remedy(layout: &str) -> String {
    format!(
        "write in dataset.toml beside it layout = {layout:?} and order = [\"flair\", \"t1\", \"t1ce\", \
         \"t2\"], as the volumes are"
    )
}

fn read_channels(path: &Path, channels: &Map<String, Value>) -> Result<toml::Value, CaseError> {
    let mut table = Table::new();
    for (number, name) in numbered_channels(channels) {
        let Some(modality) = modality_of_name(&name) else {
            let problem = format!("names channel {number} {name:?}, which is no modality");
            return Err(field_error(path, "channel_names", problem, channels_remedy()));
        };
        let file_name = format!("{number:04}");
        if let Some(other) = table.insert(modality.name().to_owned(), file_name.clone().into()) {
            let problem = format!("has {modality} twice, as {other} and \"{file_name}\"");
            return Err(field_error(path, "channel_names", problem, channels_remedy()));
        }
    }
    // Those of the built-in layout that are not there.
    for modality in Modality::ALL.into_iter().map(Modality::name) {
        table.entry(modality).or_insert_with(|| toml::Value::Array(Vec::new()));
    }
    Ok(table.into())
}

fn channels_remedy() -> String {
    "write in dataset.toml beside it layout = \"nnunet\" and, under [modalities], the number of each, \
     as t1ce = \"0001\""
        .to_owned()
}

fn file_ending(document: &Value) -> String {
    match document["file_ending"].as_str() {
        None | Some(".nii.gz" | ".nii") => ".nii[.gz]".to_owned(),
        Some(other) => other.to_owned(),
    }
}

fn image_patterns(document: &Value) -> toml::Value {
    let ending = file_ending(document);
    let pattern =
        |folder: &str| toml::Value::from(format!("{folder}/{{case}}_{{modality}}{ending}"));
    vec![pattern("imagesTr"), pattern("imagesTs")].into()
}

fn label_patterns(document: &Value) -> toml::Value {
    format!("labelsTr/{{case}}{}", file_ending(document)).into()
}

/// Scheme of the labels, by name or as tissues with their values. The labels are `value: name` or
/// `name: value`, or the regions of BraTS as lists of values.
fn read_labels(path: &Path, labels: &Value) -> Result<toml::Value, CaseError> {
    let refused = |problem: String| {
        let remedy = "write in dataset.toml beside it layout = \"nnunet\" or \"decathlon\", and what they \
                      mean, as label_scheme = \"msd\" or under [labels] and [regions] (docs/labels.md)";
        Err(field_error(path, "labels", problem, remedy.to_owned()))
    };
    let mut tissues: Vec<(u8, String)> = Vec::new();
    let mut regions: Vec<(usize, u8, Vec<u8>)> = Vec::new();
    for (key, own) in labels.as_object().cloned().unwrap_or_default() {
        let whole = |value: &Value| value.as_u64().and_then(|value| u8::try_from(value).ok());
        let (name, values) = match (&own, own.as_array()) {
            (Value::String(name), _) => (name.clone(), key.parse().ok().map(|value| vec![value])),
            (_, Some(list)) => (key.clone(), list.iter().map(whole).collect()),
            (own, None) => (key.clone(), whole(own).map(|value| vec![value])),
        };
        match (own.is_array(), region_rank(&name), values.as_deref()) {
            (_, _, None | Some([])) => {
                return refused(format!("has {key} = {own}, which is no value from 0 to 255"));
            }
            (true, Some((rank, tissue)), Some(values)) => {
                regions.push((rank, tissue, values.to_vec()));
            }
            (_, _, Some([value])) => tissues.push((*value, name)),
            (_, _, Some(_)) => {
                return refused(format!("has {name:?}, which is no region of BraTS"));
            }
        }
    }
    let named: Vec<(u8, Option<u8>)> =
        tissues.iter().map(|(value, name)| (*value, tissue_of_name(name))).collect();
    let mut pairs: Vec<(u8, u8)> =
        named.iter().filter_map(|(value, tissue)| Some((*value, (*tissue)?))).collect();
    let is_misplaced = |(value, tissue): &(u8, u8)| (*value == 0) != (*tissue == label::BACKGROUND);
    let is_known = pairs.len() == tissues.len();
    if pairs.iter().any(is_misplaced) || pairs.len() + regions.len() == 0 {
        return refused(format!("is {labels}, of which 0 alone must be the background"));
    }
    if regions.is_empty() {
        // A tissue that no scheme has keeps its name.
        let scheme = scheme_of_pairs(&pairs).filter(|_| is_known && pairs.len() > 1);
        return Ok(scheme.map_or_else(|| tissue_table(&tissues).into(), |own| own.name().into()));
    }
    // An inner region's tissue is what is left of an outer one without it.
    regions.sort_by_key(|(rank, ..)| std::cmp::Reverse(*rank));
    for (_, tissue, values) in &regions {
        for value in values {
            if pairs.iter().all(|(known, _)| known != value) {
                pairs.push((*value, *tissue));
            }
        }
    }
    let has_all = [label::ED, label::NCR, label::ET]
        .iter()
        .all(|tissue| pairs.iter().any(|(_, own)| own == tissue));
    match scheme_of_pairs(&pairs).filter(|_| is_known && has_all) {
        Some(scheme) => Ok(scheme.name().into()),
        None => refused(format!("is {labels}, which is no label scheme")),
    }
}

/// Tissues with their values, those of BraTS by their short names.
fn tissue_table(tissues: &[(u8, String)]) -> Table {
    let mut table = Table::new();
    for (value, name) in tissues {
        let of_brats = |own: u8| {
            let mut known =
                label::BRATS_TISSUES.into_iter().chain([("background", label::BACKGROUND)]);
            known.find(|(_, tissue)| *tissue == own).map(|(short, _)| short)
        };
        let known = tissue_of_name(name).and_then(of_brats);
        let is_ignored = name.eq_ignore_ascii_case("ignore");
        let short = known.unwrap_or(if is_ignored { "ignore" } else { name });
        let values = table.entry(short).or_insert_with(|| toml::Value::Array(Vec::new()));
        if let toml::Value::Array(values) = values {
            values.push(i64::from(*value).into());
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scheme(labels: &Value) -> Result<String, String> {
        let read = read_labels(Path::new("dataset.json"), labels);
        read.map(|scheme| scheme.as_str().unwrap_or_default().to_owned()).map_err(|e| e.to_string())
    }

    #[test]
    fn labels_of_any_form_tell_the_scheme_or_are_refused_with_what_to_write() {
        for (labels, wanted) in [
            (
                json!({"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}),
                "msd",
            ),
            (json!({"background": 0, "NCR": 1, "ED": 2, "ET": 3}), "brats2023"),
            (
                json!({"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]}),
                "msd",
            ),
            (
                json!({"background": 0, "whole tumor": [1, 2, 4], "tumor core": [1, 4], "enhancing tumor": 4}),
                "brats2018",
            ),
            (json!({"background": 0, "NETC": 1, "SNFH": 2, "ET": 3, "RC": 4}), "brats2024"),
        ] {
            assert_eq!(scheme(&labels).as_deref(), Ok(wanted), "{labels}");
        }
        // Tissues that no scheme has keep their names.
        for (labels, wanted) in [
            (
                json!({"background": 0, "whole tumor": 1}),
                "{ background = [0], \"whole tumor\" = [1] }",
            ),
            (
                json!({"background": 0, "edema": 2, "ET": 1, "cyst": 3, "ignore": 9}),
                "{ ED = [2], ET = [1], background = [0], cyst = [3], ignore = [9] }",
            ),
        ] {
            let read = read_labels(Path::new("dataset.json"), &labels).unwrap();
            assert_eq!(read.to_string(), wanted);
        }
        for labels in [
            json!({"background": 0, "edema": 300}),
            json!({"background": 1, "edema": 2}),
            json!({"background": 0, "whole tumor": [1, 2], "tumor core": [2]}),
            json!({"background": 0, "left": [1, 2]}),
            json!({}),
        ] {
            let refused = scheme(&labels).unwrap_err();
            assert!(refused.contains("dataset.json: labels: "), "{refused}");
            assert!(refused.contains("label_scheme = \"msd\""), "{refused}");
        }
    }
}
