//! Division of a cohort that the user gives: `data.split`, a CSV file, JSON, or the folds of nnU-Net.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::fingerprint::Fingerprint;
use crate::base::schema::ConfigError;
use crate::brats::dataset::{CaseFiles, Dataset};
use crate::run::config::case_table::{list_names, read_columns, read_text};
use crate::run_folder::dataset_lock::LockedSplitFile;
use crate::volume::case::{CaseId, Split};
use crate::volume::fold::Fold;
use crate::volume::patient::patients_in_two_parts;

const FIELD: &str = "data.split";

/// Case names by part, as JSON has them.
type NamedParts = BTreeMap<String, Vec<String>>;

/// Division read from a file.
#[derive(Debug)]
pub struct SplitFile {
    path: PathBuf,
    fold: Option<Fold>,
    fingerprint: Fingerprint,
    parts: BTreeMap<CaseId, Split>,
}

impl SplitFile {
    /// Reads a division: CSV with the columns `case` and `part`; JSON with a list of cases for each
    /// part; or a list of such folds, as nnU-Net's `splits_final.json`, of which `fold` is taken.
    ///
    /// # Errors
    /// If the file is none of them, a case stands in it twice, a part is unknown, there is nothing
    /// to train on, or nothing is said of validation.
    pub fn read(path: &Path, fold: Option<Fold>) -> Result<Self, ConfigError> {
        let text = read_text(FIELD, path)?;
        let fingerprint = Fingerprint::of_bytes(text.as_bytes());
        let named = match text.trim_start().chars().next() {
            Some('[') => choose_fold(path, fold, read_json(path, &text)?)?,
            first => {
                refuse_fold(path, fold)?;
                match first {
                    Some('{') => read_json(path, &text)?,
                    _ => read_table(path)?,
                }
            }
        };
        let parts = collect_parts(path, named)?;
        Ok(Self { path: path.to_path_buf(), fold, fingerprint, parts })
    }

    /// Part of a case, if the file names it.
    pub fn part_of(&self, case: &CaseId) -> Option<Split> {
        self.parts.get(case).copied()
    }

    /// Number of cases in one part.
    pub fn case_count(&self, part: Split) -> usize {
        self.parts.values().filter(|own| **own == part).count()
    }

    /// Record of the file for the run's lock.
    pub fn to_locked(&self) -> LockedSplitFile {
        let Self { path, fold, fingerprint, .. } = self;
        LockedSplitFile { path: path.clone(), fingerprint: *fingerprint, fold: *fold }
    }

    /// Checks the file against the cases of the folder; a case without labels needs no part unless
    /// `takes_unlabelled`.
    ///
    /// # Errors
    /// If it names a case that is not there, a case has no part, one without labels has a part that
    /// needs them, or a patient stands in two parts.
    pub fn check_cases(
        &self,
        dataset: &Dataset,
        takes_unlabelled: bool,
    ) -> Result<(), ConfigError> {
        let found = &dataset.cases;
        let there: BTreeSet<&CaseId> = found.iter().map(|files| &files.id).collect();
        // A folder that lacks a file is left out with a warning of its own.
        let is_incomplete = |id: &CaseId| {
            let subject = format!("case {id}");
            dataset.problems.iter().any(|problem| problem.subject == subject)
        };
        let unknown = self.parts.keys().filter(|id| !there.contains(id) && !is_incomplete(id));
        self.refuse_any(
            &unknown.collect::<Vec<_>>(),
            "names cases that the folder does not have",
            "correct the names, or take them out",
        )?;
        let has_part = |files: &&CaseFiles| self.parts.contains_key(&files.id);
        let needed = found.iter().filter(|files| files.labels.is_some() || takes_unlabelled);
        let left: Vec<&CaseId> =
            needed.filter(|files| !has_part(files)).map(|files| &files.id).collect();
        self.refuse_any(
            &left,
            "has no part for cases of the folder",
            "give each a part; in CSV and JSON `unused` leaves it out",
        )?;
        let scored = [Split::Train, Split::Validation, Split::Test];
        let needs_labels = |files: &&CaseFiles| {
            files.labels.is_none()
                && self.part_of(&files.id).is_some_and(|part| scored.contains(&part))
        };
        let bare: Vec<&CaseId> = found.iter().filter(needs_labels).map(|files| &files.id).collect();
        self.refuse_any(
            &bare,
            "trains, validates or tests on cases without labels",
            "bring their label files, or give them the part `unlabelled`",
        )?;
        let placed =
            found.iter().filter_map(|files| Some((&files.patient, self.part_of(&files.id)?)));
        self.refuse_any(
            &patients_in_two_parts(placed),
            "has patients in two parts",
            "put all cases of a patient into one part, or say with data.patients whose they are",
        )
    }

    fn refuse_any(
        &self,
        names: &[impl std::fmt::Display],
        problem: &str,
        way_out: &str,
    ) -> Result<(), ConfigError> {
        if names.is_empty() {
            return Ok(());
        }
        Err(refusal(&self.path, format!("{problem}: {}", list_names(names)), way_out))
    }
}

fn refusal(path: &Path, problem: impl std::fmt::Display, way_out: &str) -> ConfigError {
    ConfigError::new(
        FIELD,
        path.display(),
        format!("no division of the cohort: it {problem}"),
        way_out,
    )
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    serde_json::from_str(text).map_err(|error| {
        let way_out =
            "write {\"train\": [\"CASE\", …], \"validation\": […]}, or a list of such folds";
        refusal(path, format!("is not such JSON ({error})"), way_out)
    })
}

fn read_table(path: &Path) -> Result<NamedParts, ConfigError> {
    let mut named = NamedParts::new();
    for [case, part] in read_columns(FIELD, path, ["case", "part"])? {
        named.entry(part).or_default().push(case);
    }
    Ok(named)
}

/// Takes one fold of several; of a single one there is nothing to choose.
fn choose_fold(
    path: &Path,
    fold: Option<Fold>,
    mut folds: Vec<NamedParts>,
) -> Result<NamedParts, ConfigError> {
    let count = folds.len();
    match fold {
        _ if count == 0 => Err(refusal(path, "is an empty list", "name a file with folds")),
        None if count == 1 => Ok(folds.remove(0)),
        None => {
            let problem = format!("is a list of {count} folds");
            Err(refusal(path, problem, &format!("choose one, such as --fold 0/{count}")))
        }
        Some(fold) if fold.fold_count() == count => Ok(folds.swap_remove(fold.index())),
        Some(fold) => {
            let problem = format!("none of the {count} folds of {}", path.display());
            let way_out = format!("write 0/{count} for its first");
            Err(ConfigError::new("data.fold", fold, problem, way_out))
        }
    }
}

fn refuse_fold(path: &Path, fold: Option<Fold>) -> Result<(), ConfigError> {
    let Some(fold) = fold else { return Ok(()) };
    let problem =
        format!("a second way to divide the cohort, beside data.split = {}", path.display());
    let way_out = "keep one; a fold can be chosen from a list of them, such as splits_final.json";
    Err(ConfigError::new("data.fold", fold, problem, way_out))
}

/// Part of a name that files use.
fn part_named(name: &str) -> Option<Split> {
    match name.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "validation" | "val" => Some(Split::Validation),
        "test" => Some(Split::Test),
        "unlabelled" | "unlabeled" => Some(Split::Unlabelled),
        "unused" => Some(Split::Unused),
        _ => None,
    }
}

fn collect_parts(path: &Path, named: NamedParts) -> Result<BTreeMap<CaseId, Split>, ConfigError> {
    let mut parts = BTreeMap::new();
    let mut twice = Vec::new();
    let mut has_validation = false;
    for (name, cases) in named {
        let Some(part) = part_named(&name) else {
            let way_out = "the parts are train, validation, test, unlabelled and unused";
            return Err(refusal(path, format!("has a part `{name}`"), way_out));
        };
        has_validation |= part == Split::Validation;
        for case in cases.into_iter().map(CaseId::new) {
            if parts.contains_key(&case) {
                twice.push(case);
            } else {
                parts.insert(case, part);
            }
        }
    }
    if !twice.is_empty() {
        let problem = format!("has cases twice: {}", list_names(&twice));
        return Err(refusal(path, problem, "give each case one part"));
    }
    if parts.values().all(|part| *part != Split::Train) {
        return Err(refusal(path, "has no part `train`", "give some cases this part"));
    }
    if !has_validation {
        let way_out = "give some cases this part; JSON may have an empty list for none";
        return Err(refusal(path, "has no part `validation`", way_out));
    }
    Ok(parts)
}
