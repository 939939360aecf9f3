//! Layouts of a dataset's folder, and the choice among them: the description beside the data, the
//! dataset's own `dataset.json`, or the built-in layouts that its names fit.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{CaseError, ConfigError, Fingerprint, Reason};
use crate::brats::datalist::find_datalist;
use crate::brats::description::{
    DESCRIPTION_FILE, DatasetDescription, JsonDescription, MODALITY, Parts, all_built_in,
    find_built_in,
};
use crate::storage;
use crate::volume::{LabelScheme, Modality, PatientId};

/// Name of a dataset's layout: a built-in one's, or `described` for one of its own.
#[derive(
    derive_more::Display, Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Layout(String);

impl Layout {
    /// Creates a layout's name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// Layouts that a folder may have.
pub(super) struct LayoutChoice {
    /// The layouts, the stricter first.
    pub(super) layouts: Vec<DatasetDescription>,
    /// File that says that it is this one layout; absent where names decide.
    pub(super) file: Option<PathBuf>,
}

impl LayoutChoice {
    /// Finds the layouts of `folder`: that of the file `described`, of a description beside the
    /// images, of the dataset's own `dataset.json`, or else all that names tell.
    ///
    /// # Errors
    /// If a description cannot be read or used, or a prefix of object storage cannot be listed.
    pub(super) fn of_folder(folder: &Path, described: Option<&Path>) -> Result<Self, CaseError> {
        storage::list_once(folder)?;
        let found = described.map(Path::to_owned).or_else(|| description_beside(folder));
        let json = JsonDescription::of_folder(folder)?;
        if let Some(path) = found {
            let layouts = vec![DatasetDescription::read_file(&path, json.as_ref())?];
            return Ok(Self { layouts, file: Some(path) });
        }
        if let Some(json) = json {
            let layouts = vec![DatasetDescription::of_json(&json)?];
            return Ok(Self { layouts, file: Some(json.path) });
        }
        let by_names = all_built_in().iter().filter(|layout| layout.is_told_by_names());
        Ok(Self { layouts: by_names.cloned().collect(), file: None })
    }

    /// Checks that a description names images, not labels alone as one of predictions does.
    ///
    /// # Errors
    /// If it names none.
    pub(super) fn check_images(&self) -> Result<(), CaseError> {
        let (Some(file), [layout]) = (&self.file, self.layouts.as_slice()) else { return Ok(()) };
        if !layout.images.is_empty() || layout.datalist.is_some() {
            return Ok(());
        }
        let ConfigError { field, value, problem, way_out, .. } = layout.no_images_error();
        let problem = format!("{field} = {value} is {problem}");
        Err(CaseError::new(Reason::Format, file.display(), problem, way_out))
    }

    /// Datalist of the one layout, if it has one.
    pub(super) fn datalist(&self) -> Option<&Path> {
        match self.layouts.as_slice() {
            [only] => only.datalist.as_deref(),
            _ => None,
        }
    }

    /// Takes a datalist of the folder in place of names that no file has; true if there is one.
    pub(super) fn use_datalist_of(&mut self, folder: &Path) -> bool {
        let built_in = find_built_in("monai").filter(|_| self.file.is_none());
        let Some((layout, list)) = built_in.zip(find_datalist(folder)) else { return false };
        let name = list.file_name().map(PathBuf::from);
        self.layouts = vec![DatasetDescription { datalist: name, ..layout.clone() }];
        self.file = Some(list);
        true
    }

    /// Text of the names that are looked for.
    pub(super) fn patterns_text(&self) -> String {
        let patterns = self.layouts.iter().flat_map(DatasetDescription::shown_patterns);
        let mut patterns: Vec<String> = patterns.collect();
        patterns.sort();
        patterns.dedup();
        let patterns = patterns.join(" or ");
        match &self.file {
            Some(file) => format!("{patterns}, as {} says", file.display()),
            None => patterns,
        }
    }
}

/// Description in a folder, or, of a folder of images such as a case's, in the one above.
fn description_beside(folder: &Path) -> Option<PathBuf> {
    let own = folder.join(DESCRIPTION_FILE);
    if storage::is_file(&own) {
        return Some(own);
    }
    let holds_images = || {
        let listed = storage::list_folder(folder).unwrap_or_default();
        listed.iter().any(|path| is_nifti(&path.to_string_lossy()))
    };
    let above = folder.join("..").join(DESCRIPTION_FILE);
    (storage::is_file(&above) && holds_images()).then_some(above)
}

/// Fingerprint of the description that the cases of `folder` would be found by, in the file `described`
/// or beside the data; `None` where it is a built-in layout, or names decide.
///
/// # Errors
/// If the description cannot be read or used.
pub fn description_fingerprint(
    folder: &Path,
    described: Option<&Path>,
) -> Result<Option<Fingerprint>, CaseError> {
    let choice = LayoutChoice::of_folder(folder, described)?;
    Ok(match (choice.file, choice.layouts.as_slice()) {
        (Some(_), [only]) => only.own_fingerprint(),
        _ => None,
    })
}

/// File of a case, by its place in a layout.
pub(super) struct NamedFile {
    /// Place of the pattern that it fits; the least is preferred.
    pub(super) rank: usize,
    /// Number of components of its path that the pattern takes.
    pub(super) depth: usize,
    pub(super) modality: Option<Modality>,
    /// Texts of the named parts but the modality's.
    pub(super) parts: Parts,
}

impl DatasetDescription {
    /// Name of the layout.
    pub(super) fn layout_name(&self) -> Layout {
        Layout::new(self.layout.as_deref().unwrap_or("described"))
    }

    /// True if names alone tell the layout; the others have a `dataset.json`.
    fn is_told_by_names(&self) -> bool {
        !matches!(self.layout.as_deref(), Some("decathlon" | "nnunet" | "monai"))
    }

    /// True if other datasets use these file names, so that they do not tell what a label means.
    pub(super) fn is_much_used(&self) -> bool {
        let name = self.layout.as_deref();
        matches!(name, Some("brats2018" | "brats2023" | "flat2018" | "flat2023"))
    }

    /// Matches the image file `name` in the folder of these path components.
    pub(super) fn match_image(&self, folder: &[String], name: &str) -> Option<NamedFile> {
        let names: Vec<&str> = self.modalities.all_names().map(|(_, name)| name).collect();
        (0..).zip(self.images.iter()).find_map(|(rank, pattern)| {
            let depth = pattern.depth();
            let mut parts = pattern.match_text(&path_end(folder, name, depth)?, &names)?;
            let modality = match parts.remove(MODALITY) {
                Some(own) => Some(self.modalities.modality_of(&own)?),
                None => None,
            };
            Some(NamedFile { rank, depth, modality, parts })
        })
    }

    /// Matches the label file `name` in the folder of these path components.
    pub(super) fn match_labels(&self, folder: &[String], name: &str) -> Option<NamedFile> {
        (0..).zip(self.label_files.iter()).find_map(|(rank, pattern)| {
            let depth = pattern.depth();
            let parts = pattern.match_text(&path_end(folder, name, depth)?, &[])?;
            Some(NamedFile { rank, depth, modality: None, parts })
        })
    }

    /// Name of the case with these parts.
    pub(super) fn case_of(&self, parts: &Parts) -> String {
        match &self.case {
            Some(pattern) => pattern.fill_in(parts),
            None => parts.get("case").cloned().unwrap_or_default(),
        }
    }

    /// Patient of a case, and `None` where no pattern tells it.
    pub(super) fn patient_of(&self, case: &str, parts: &Parts) -> Option<PatientId> {
        if let Some(patient) = parts.get("patient") {
            return Some(PatientId::new(patient));
        }
        if self.patient.is_empty() {
            return Some(PatientId::new(case));
        }
        let matched = self.patient.iter().find_map(|pattern| pattern.match_text(case, &[]))?;
        matched.get("patient").map(PatientId::new)
    }

    /// Patterns of the images as users read them.
    pub(super) fn shown_patterns(&self) -> Vec<String> {
        let names: Vec<&str> = Modality::ALL
            .into_iter()
            .filter_map(|modality| self.modalities.names_of(modality).first())
            .map(String::as_str)
            .collect();
        self.images.iter().map(|pattern| pattern.to_shown(&names)).collect()
    }

    /// Path, from the end, of the image of a case that is not there.
    pub(super) fn expected_image(&self, rank: usize, modality: Modality, parts: &Parts) -> String {
        let Some(pattern) = self.images.get(rank) else { return String::new() };
        let mut parts = parts.clone();
        if let Some(name) = self.modalities.names_of(modality).first() {
            parts.insert(MODALITY.to_owned(), name.clone());
        }
        pattern.fill_in(&parts)
    }
}

/// The last `depth` components of a path; `None` if it has fewer.
fn path_end(folder: &[String], name: &str, depth: usize) -> Option<String> {
    let above = folder.len().checked_sub(depth - 1)?;
    let mut text = folder[above..].join("/");
    if !text.is_empty() {
        text.push('/');
    }
    Some(text + name)
}

/// Label schemes that a case's name alone allows, as that of a label file outside its folder; `None`
/// where it tells nothing.
pub fn schemes_of_case_name(case: &str) -> Option<&'static [LabelScheme]> {
    // One tissue, which its own layout names.
    const RADIOTHERAPY: &str = "brats-men-rt";
    const TO_2021: &[LabelScheme] = &[LabelScheme::Brats2018];
    const SINCE_2023: &[LabelScheme] = &[LabelScheme::Brats2023, LabelScheme::Brats2024];
    // Names of PED did not change when its labels did.
    const PED: &[LabelScheme] = &[LabelScheme::Brats2023, LabelScheme::Brats2024Ped];
    let releases: [(&str, &'static [LabelScheme]); 6] = [
        ("brats18_", TO_2021),
        ("brats19_", TO_2021),
        ("brats20_", TO_2021),
        ("brats2021_", TO_2021),
        ("brats-ped-", PED),
        ("brats-", SINCE_2023),
    ];
    let name = case.to_ascii_lowercase();
    if name.strip_prefix(RADIOTHERAPY).is_some_and(|rest| rest.starts_with('-')) {
        return find_built_in(RADIOTHERAPY).map(DatasetDescription::schemes);
    }
    releases.into_iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, schemes)| schemes)
}

/// True if a path is that of labels in a built-in layout.
pub fn names_labels(path: &Path) -> bool {
    let folder: Vec<String> = path.parent().map(path_components).unwrap_or_default();
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    all_built_in().iter().any(|layout| layout.match_labels(&folder, name).is_some())
}

/// Names of the folders that a path leads through.
pub(super) fn path_components(path: &Path) -> Vec<String> {
    let named = path.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    named.collect()
}

/// True if a file is NIfTI by its name.
pub(super) fn is_nifti(name: &str) -> bool {
    [".nii.gz", ".nii"].iter().any(|extension| name.ends_with(extension))
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
