//! MONAI's datalists: JSON files that name the images and the labels of each case.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::base::{CaseError, Reason};
use crate::brats::StackPlaces;
use crate::brats::case_assembly::{AssembledCase, AssembledImages};
use crate::brats::description::{DatasetDescription, Parts, modality_of_file};
use crate::storage;
use crate::volume::Modality;

/// Lists of cases with labels, and of cases without.
const LISTS: [(&str, bool); 4] =
    [("training", true), ("validation", true), ("test", false), ("testing", false)];

/// Cases of a datalist, and what is wrong with entries that are none, by the name that they are sorted by.
pub(super) struct ListedCases {
    pub(super) cases: Vec<AssembledCase>,
    pub(super) problems: Vec<(String, CaseError)>,
}

/// Finds a datalist among the JSON files of a folder.
pub(super) fn find_datalist(folder: &Path) -> Option<PathBuf> {
    let paths = storage::list_folder(folder).ok()?;
    let is_datalist = |path: &PathBuf| {
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        is_json && read_document(path).is_ok_and(|document| has_entries(&document))
    };
    paths.into_iter().find(is_datalist)
}

fn has_entries(document: &Value) -> bool {
    let is_entry = |entry: &Value| entry["image"].is_array() || entry["image"].is_string();
    document["training"].as_array().is_some_and(|list| list.iter().any(is_entry))
}

fn read_document(path: &Path) -> Result<Value, CaseError> {
    let text = storage::read_text(path)?;
    serde_json::from_str(&text).map_err(|error| {
        let problem = format!("is no JSON: {error}");
        CaseError::new(Reason::Format, path.display(), problem, "mend it, or name another datalist")
    })
}

/// Reads the cases of the datalist `path`, whose paths begin in `folder`, or else where it lies.
///
/// # Errors
/// If it cannot be read, or has no list `training`.
pub(super) fn read_datalist(
    folder: &Path,
    path: &Path,
    description: &DatasetDescription,
) -> Result<ListedCases, CaseError> {
    let path = if path.is_absolute() { path.to_owned() } else { folder.join(path) };
    if !storage::is_file(&path) {
        let problem = "is the datalist, and is not there";
        let remedy = "write the name of one in dataset.toml, from the dataset's folder on, as datalist = \
                      \"folds.json\"";
        return Err(CaseError::new(Reason::Missing, path.display(), problem, remedy));
    }
    let document = read_document(&path)?;
    if !has_entries(&document) {
        let problem = "has no list `training` whose entries have an `image`";
        let remedy = "name another datalist, as datalist = \"FILE.json\" in dataset.toml";
        return Err(CaseError::new(Reason::Format, path.display(), problem, remedy));
    }
    let mut listed = ListedCases { cases: Vec::new(), problems: Vec::new() };
    for (list, is_labelled) in LISTS {
        let Some(entries) = document[list].as_array() else { continue };
        for (number, entry) in entries.iter().enumerate() {
            let reader = EntryReader { folder, path: &path, place: format!("{list}[{number}]") };
            match reader.read_entry(entry, is_labelled, description) {
                Ok(case) => listed.cases.push(case),
                Err(error) => listed.problems.push((error.subject.clone(), error)),
            }
        }
    }
    Ok(listed)
}

/// Reader of one entry.
struct EntryReader<'a> {
    folder: &'a Path,
    path: &'a Path,
    /// Place of the entry, as `training[3]`.
    place: String,
}

impl EntryReader<'_> {
    fn read_entry(
        &self,
        entry: &Value,
        is_labelled: bool,
        description: &DatasetDescription,
    ) -> Result<AssembledCase, CaseError> {
        let texts = |value: &Value| -> Option<Vec<String>> {
            match value {
                Value::String(text) => Some(vec![text.clone()]),
                Value::Array(list) => {
                    list.iter().map(|text| text.as_str().map(str::to_owned)).collect()
                }
                // The test lists of the Decathlon are of paths alone.
                _ => None,
            }
        };
        let named = if entry.is_string() { entry } else { &entry["image"] };
        let Some(images) = texts(named).filter(|images| !images.is_empty()) else {
            let problem = format!("is {named}, which is no path and no list of paths");
            return Err(self.error("image", problem, "write the paths of the case's images"));
        };
        let name = case_name(&images);
        let files: Vec<PathBuf> = images.iter().map(|image| self.find_file(image)).collect();
        let is_stack = files.len() == 1 && description.is_of_stacks();
        let places = if is_stack { None } else { Some(self.list_places(&images, description)?) };
        let labels = match (is_labelled, texts(&entry["label"]).as_deref()) {
            (true, Some([label])) => Some(self.find_file(label)),
            _ => None,
        };
        let ordered: [PathBuf; Modality::COUNT] = match places {
            Some(places) => {
                places.map(|place| place.map(|place| files[place].clone()).unwrap_or_default())
            }
            None => std::array::from_fn(|_| files[0].clone()),
        };
        let is_missing = |file: &&PathBuf| !file.as_os_str().is_empty() && !storage::is_file(file);
        let images = match ordered.iter().chain(&labels).find(is_missing) {
            Some(file) => Err(self
                .error("image", format!("names {}, which is not there", file.display()), MISSING)
                .of_case(&name)),
            None => Ok(AssembledImages { files: ordered, error: None }),
        };
        let stack = if is_stack { description.stack_places() } else { None::<StackPlaces> };
        let folder = files[0].parent().unwrap_or(self.folder).to_owned();
        let (layout, parts, grade, doubled) = (0, Parts::new(), None, Vec::new());
        Ok(AssembledCase { name, layout, parts, grade, images, stack, labels, folder, doubled })
    }

    fn find_file(&self, listed: &str) -> PathBuf {
        let beside = self.path.parent().unwrap_or(self.folder).join(listed);
        let own = self.folder.join(listed);
        if !storage::is_file(&own) && storage::is_file(&beside) { beside } else { own }
    }

    /// Place of each modality in an entry's list, by the description's order or by the files' names.
    fn list_places(
        &self,
        images: &[String],
        description: &DatasetDescription,
    ) -> Result<[Option<usize>; Modality::COUNT], CaseError> {
        if let Some(stack) = description.stack_places() {
            if stack.volumes == images.len() {
                return Ok(stack.places);
            }
            let problem = format!("lists {} files, order names {}", images.len(), stack.volumes);
            return Err(self.error("image", problem, ORDER));
        }
        let of_files: Vec<Option<Modality>> =
            images.iter().map(|image| modality_of_file(stem_of(image))).collect();
        let place = |modality: Modality| of_files.iter().position(|own| *own == Some(modality));
        let places = Modality::ALL.map(place);
        if places.iter().flatten().count() == images.len() {
            return Ok(places);
        }
        let problem = format!("is {images:?}, whose names do not tell a modality each");
        Err(self.error("image", problem, ORDER))
    }

    fn error(&self, field: &str, problem: String, remedy: &str) -> CaseError {
        let subject = format!("{}: {}.{field}", self.path.display(), self.place);
        CaseError::new(Reason::Format, subject, problem, remedy)
    }
}

const ORDER: &str = "write in dataset.toml, beside datalist = \"FILE.json\", the modality of each, as \
                     order = [\"flair\", \"t1ce\", \"t1\", \"t2\"]";

const MISSING: &str = "paths begin in the dataset's folder, or where the datalist lies";

/// Name of a case: the beginning that the names of its images have in common.
fn case_name(images: &[String]) -> String {
    let stems: Vec<&str> = images.iter().map(|image| stem_of(image)).collect();
    let [first, others @ ..] = stems.as_slice() else { return String::new() };
    if others.is_empty() {
        return (*first).to_owned();
    }
    let is_common = |end: &usize| others.iter().all(|stem| stem.get(..*end) == first.get(..*end));
    let ends = first.char_indices().map(|(place, _)| place).chain([first.len()]);
    let common = ends.take_while(is_common).last().unwrap_or(0);
    // What they have in common may reach into the modality's name: `_t1` of `_t1` and `_t1ce`.
    let cut = first[..common].rfind(['_', '-', '.']).unwrap_or(common);
    first[..cut].trim_end_matches(['_', '-', '.']).to_owned()
}

/// Name of a file without its folders and its extension.
fn stem_of(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    plain.strip_suffix(".nii").unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_named_by_what_its_images_have_in_common() {
        let name = |images: &[&str]| {
            case_name(&images.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let of_brats = ["flair", "t1ce", "t1", "t2"].map(|end| format!("a/B_01/B_01_{end}.nii.gz"));
        assert_eq!(name(&of_brats.each_ref().map(String::as_str)), "B_01");
        assert_eq!(name(&["x-1-t1c.nii", "x-1-t1n.nii"]), "x-1");
        assert_eq!(name(&["./imagesTr/BRATS_001.nii.gz"]), "BRATS_001");
    }
}
