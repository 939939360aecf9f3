//! Division of a cohort that the user gives: `data.split`, a CSV file, JSON, or the folds of nnU-Net.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::{ConfigError, Fingerprint};
use crate::brats::{CaseFiles, Dataset};
use crate::run::config::case_table::{list_names, read_columns, read_text};
use crate::run::named_parts::NamedParts;
use crate::run_folder::LockedSplitFile;
use crate::volume::{CaseId, Fold, Split, patients_in_two_parts};

const FIELD: &str = "data.split";

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
    let mut named = NamedParts::default();
    for [case, part] in read_columns(FIELD, path, ["case", "part"])? {
        named.0.entry(part).or_default().push(case);
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
            let way_out = match count {
                1 => "leave --fold out: there is nothing to choose".to_owned(),
                _ => format!("write 0/{count} for its first"),
            };
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
    for (name, cases) in named.0 {
        let Some(part) = part_named(&name) else {
            let way_out = "the parts are train, validation, test, unlabelled and unused";
            return Err(refusal(path, format!("has a part `{name}`"), way_out));
        };
        has_validation |= part == Split::Validation;
        for case in cases.into_iter().map(CaseId::new) {
            if parts.insert(case.clone(), part).is_some() {
                twice.push(case);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{CaseError, Reason, fs};
    use crate::brats::{ChosenScheme, DatasetDescription, Layout, NameSchemes, SchemeReason};
    use crate::volume::{LabelScheme, PatientId, RunChannels};

    fn read(text: &str, fold: Option<&str>) -> Result<SplitFile, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("split");
        fs::write(&path, text).unwrap();
        let fold = fold.map(|fold| fold.parse().unwrap());
        SplitFile::read(&path, fold).map_err(|error| error.to_string())
    }

    fn parts(file: &SplitFile) -> Vec<(&str, Split)> {
        file.parts.iter().map(|(id, part)| (id.as_str(), *part)).collect()
    }

    fn dataset(cases: &[(&str, bool)]) -> Dataset {
        let files = |(id, labelled): &(&str, bool)| CaseFiles {
            id: CaseId::new(*id),
            patient: PatientId::new(id.trim_end_matches(char::is_numeric)),
            images: Default::default(),
            labels: labelled.then(PathBuf::new),
            mask: None,
            stack: None,
            scheme: LabelScheme::Brats2018,
            channels: RunChannels::default(),
            max_voxels: 1 << 20,
            grade: None,
        };
        Dataset {
            incomplete: Vec::new(),
            layout: Layout::new("brats2018"),
            layout_reason: String::new(),
            description: DatasetDescription::default(),
            labels: ChosenScheme { scheme: LabelScheme::Brats2018, reason: SchemeReason::Names },
            name_schemes: NameSchemes::default(),
            cases: cases.iter().map(files).collect(),
            problems: vec![CaseError::new(Reason::Missing, "case broken", "lacks t1", "load it")],
        }
    }

    #[test]
    fn the_same_division_is_read_from_each_format() {
        let table = "case,part\na1,train\nb1,val\nc1,Test\nd1,unlabelled\ne1,unused\n";
        let json = r#"{"train": ["a1"], "validation": ["b1"], "test": ["c1"],
            "unlabeled": ["d1"], "unused": ["e1"]}"#;
        let expected = [
            ("a1", Split::Train),
            ("b1", Split::Validation),
            ("c1", Split::Test),
            ("d1", Split::Unlabelled),
            ("e1", Split::Unused),
        ];
        for text in [table, json, &format!("\u{feff}{table}")] {
            assert_eq!(parts(&read(text, None).unwrap()), expected);
        }
        let folds = r#"[{"train": ["a1"], "val": ["b1"]}, {"train": ["b1"], "val": ["a1"]}]"#;
        let file = read(folds, Some("1/2")).unwrap();
        assert_eq!(parts(&file), [("a1", Split::Validation), ("b1", Split::Train)]);
        assert_eq!(file.to_locked().fold, Fold::new(1, 2).ok());
    }

    #[test]
    fn what_is_no_division_is_refused_with_the_field_and_the_way_out() {
        let folds = r#"[{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]"#;
        for (text, fold, words) in [
            (folds, None, "data.split = |is a list of 2 folds; choose one, such as --fold 0/2"),
            (folds, Some("0/5"), "data.fold = 0/5 is none of the 2 folds"),
            ("case,part\na,train\nb,val\n", Some("0/5"), "data.fold = 0/5 |beside data.split"),
            ("case,part\na,train\nb,val\na,test\n", None, "cases twice: a; give each case one"),
            ("case,part\na,train\nb,teste\n", None, "part `teste`; the parts are train"),
            ("case,part\na,test\nb,val\n", None, "no part `train`"),
            ("case,part\na,train\nb,test\n", None, "no part `validation`"),
            (r#"{"train": [], "val": ["a"]}"#, None, "no part `train`"),
            (r#"{"train": "a"}"#, None, "is not such JSON (|write {\"train\""),
            ("[]", None, "an empty list"),
            ("a,train\n", None, "data.split = |names no column `case`; begin it with"),
        ] {
            let told = read(text, fold).unwrap_err();
            assert!(words.split('|').all(|part| told.contains(part)), "{told}");
        }
        assert!(read(r#"{"train": ["a"], "val": []}"#, None).is_ok(), "nothing to validate on");
        let gone = SplitFile::read(Path::new("no/such.csv"), None).unwrap_err().to_string();
        assert!(
            gone.starts_with("data.split = no/such.csv is a file that cannot be read"),
            "{gone}"
        );
    }

    #[test]
    fn a_division_has_to_fit_the_folder() {
        let file = "case,part\na1,train\na2,train\nb1,val\nd1,unlabelled\nbroken,train\n";
        let file = read(file, None).unwrap();
        let fitting = [("a1", true), ("a2", true), ("b1", true), ("d1", false), ("e1", false)];
        file.check_cases(&dataset(&fitting), false).unwrap();
        let told = |cases: &[(&str, bool)], with_teacher| {
            file.check_cases(&dataset(cases), with_teacher).unwrap_err().to_string()
        };
        for (cases, with_teacher, words) in [
            (&fitting[..3], false, "names cases that the folder does not have: d1; correct"),
            (&fitting, true, "has no part for cases of the folder: e1; give each"),
            (&[&fitting[..4], &[("f1", true)]].concat(), false, "has no part for|f1"),
            (&[&fitting[..2], &[("b1", false), fitting[3]]].concat(), false, "without labels: b1"),
        ] {
            let told = told(cases, with_teacher);
            assert!(words.split('|').all(|part| told.contains(part)), "{told}");
        }
        let torn = read("case,part\na1,train\na2,val\nb1,train\n", None).unwrap();
        let told = torn.check_cases(&dataset(&fitting[..3]), false).unwrap_err().to_string();
        assert!(told.contains("patients in two parts: a; put all cases"), "{told}");
        let apart = read("case,part\na1,train\na2,unused\nb1,val\n", None).unwrap();
        apart.check_cases(&dataset(&fitting[..3]), false).unwrap();
    }
}
