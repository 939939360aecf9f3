//! Choice of a folder's label scheme: asked for, told by its file names, or found in its values.
//!
//! Where two schemes fit and give a value another meaning, none is chosen: the error says what to
//! write. [`crate::brats::dataset`] chooses by names, `score` by names and values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::{CaseError, Reason};
use crate::brats::description::{DatasetDescription, all_built_in};
use crate::brats::labels::read_label_values;
use crate::brats::{ChosenScheme, SchemeReason, schemes_of_case_name};
use crate::volume::LabelScheme;

/// Request for a label scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchemeRequest {
    /// The scheme that the names of the files tell.
    #[default]
    FromNames,
    /// This scheme.
    Asked(LabelScheme),
    /// The scheme that a run was trained with where names allow it, else that of the names.
    TrainedWith(LabelScheme),
    /// The first that names allow; the caller chooses among [`NameSchemes::common_schemes`].
    LeftOpen,
}

impl SchemeRequest {
    /// Request of a user, or else that of a run for cases of another folder.
    pub fn of_user_or_run(asked: Option<LabelScheme>, run: Option<LabelScheme>) -> Self {
        asked.map(Self::Asked).or(run.map(Self::TrainedWith)).unwrap_or_default()
    }
}

impl From<Option<LabelScheme>> for SchemeRequest {
    fn from(asked: Option<LabelScheme>) -> Self {
        Self::of_user_or_run(asked, None)
    }
}

/// Label schemes that the names of a folder's cases allow.
#[derive(Debug, Default)]
pub struct NameSchemes {
    /// First case and number of cases by the schemes that their names allow, the usual one first.
    cases: BTreeMap<Vec<LabelScheme>, (String, usize)>,
}

impl NameSchemes {
    /// Adds a case.
    pub fn add_case(&mut self, case: &str, schemes: &[LabelScheme]) {
        self.cases.entry(schemes.to_vec()).or_insert_with(|| (case.to_owned(), 0)).1 += 1;
    }

    /// Schemes that all names allow; empty where names tell nothing.
    ///
    /// # Errors
    /// If no scheme fits all names.
    pub fn common_schemes(&self, folder: &Path) -> Result<Vec<LabelScheme>, CaseError> {
        let mut lists = self.cases.keys();
        let Some(first) = lists.next() else { return Ok(Vec::new()) };
        let mut common = first.clone();
        lists.for_each(|list| common.retain(|scheme| list.contains(scheme)));
        if common.is_empty() { Err(self.mixture_error(folder)) } else { Ok(common) }
    }

    /// Refuses a folder in which a name leaves open what a value means, and one whose cases are of
    /// several releases of which the scheme that was asked for fits some.
    pub(super) fn check_request(
        &self,
        folder: &Path,
        request: SchemeRequest,
    ) -> Result<(), CaseError> {
        if let SchemeRequest::Asked(asked) = request {
            let fitting = self.cases.keys().filter(|list| list.contains(&asked)).count();
            let is_mixture = fitting != 0 && fitting != self.cases.len();
            return if is_mixture { Err(self.mixture_error(folder)) } else { Ok(()) };
        }
        for (schemes, (case, count)) in &self.cases {
            if request != SchemeRequest::LeftOpen && choose_by_name(schemes, request).is_none() {
                return Err(open_meaning_error(folder, &cases_text(case, *count), schemes));
            }
        }
        Ok(())
    }

    fn mixture_error(&self, folder: &Path) -> CaseError {
        let groups: Vec<String> = self
            .cases
            .iter()
            .map(|(schemes, (case, count))| {
                format!("{} of {}", cases_text(case, *count), join_names(schemes, "or"))
            })
            .collect();
        CaseError::new(
            Reason::Label,
            folder.display(),
            format!("holds releases with different label values: {}", groups.join(", ")),
            "keep each in a folder of its own",
        )
    }
}

fn cases_text(first: &str, count: usize) -> String {
    match count {
        1 => format!("{first} is named as one"),
        _ => format!("{first} and {} more are named as those", count - 1),
    }
}

/// Scheme of a case whose files' names allow `schemes`; the first where the choice is left open, which
/// [`NameSchemes::check_request`] refuses when all cases are known.
pub(super) fn choose_for_case(
    case: &str,
    schemes: &[LabelScheme],
    request: SchemeRequest,
) -> ChosenScheme {
    match request {
        // Only the images are named as in a release, and those names are much used elsewhere.
        SchemeRequest::TrainedWith(run)
            if schemes_of_case_name(case).is_none() || run.described_tissues().is_some() =>
        {
            ChosenScheme { scheme: run, reason: SchemeReason::Run }
        }
        _ => choose_by_name(schemes, request)
            .unwrap_or(ChosenScheme { scheme: schemes[0], reason: SchemeReason::Names }),
    }
}

/// Scheme of a case whose name allows `schemes`, and its source; `None` where it is left open.
fn choose_by_name(schemes: &[LabelScheme], request: SchemeRequest) -> Option<ChosenScheme> {
    let (scheme, reason) = match request {
        SchemeRequest::Asked(asked) => (asked, SchemeReason::Asked),
        SchemeRequest::TrainedWith(run)
            if schemes.contains(&run) || run.described_tissues().is_some() =>
        {
            (run, SchemeReason::Run)
        }
        _ => {
            let first = *schemes.first()?;
            let values: Vec<i64> = first.file_values().into_iter().map(i64::from).collect();
            let is_open = schemes.iter().any(|other| !agree_on(first, *other, &values));
            if is_open && request != SchemeRequest::LeftOpen {
                return None;
            }
            (first, SchemeReason::Names)
        }
    };
    Some(ChosenScheme { scheme, reason })
}

/// True if two schemes give each of the values the same meaning.
fn agree_on<'a>(
    one: LabelScheme,
    other: LabelScheme,
    values: impl IntoIterator<Item = &'a i64>,
) -> bool {
    let canonical = |scheme: LabelScheme, value: i64| {
        u8::try_from(value).ok().and_then(|value| scheme.to_canonical(value))
    };
    values.into_iter().all(|value| canonical(one, *value) == canonical(other, *value))
}

/// Schemes that fit label files by their names and values, the likeliest first. There are several
/// only where these values mean the same in all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FittingSchemes {
    schemes: Vec<LabelScheme>,
    reason: SchemeReason,
}

impl FittingSchemes {
    /// The one scheme that was asked for.
    pub fn of_request(scheme: LabelScheme) -> Self {
        Self::of_choice(ChosenScheme { scheme, reason: SchemeReason::Asked })
    }

    /// The one scheme that is chosen already.
    pub fn of_choice(chosen: ChosenScheme) -> Self {
        Self { schemes: vec![chosen.scheme], reason: chosen.reason }
    }

    /// Finds the schemes of the files of `folder`, whose names allow those of `named`. Names that
    /// tell nothing leave BraTS 2018 to 2023, or where both 3 and 4 are found, 2024.
    ///
    /// # Errors
    /// If a file cannot be read, or two schemes give a value another meaning.
    pub fn of_files(
        folder: &Path,
        named: &[LabelScheme],
        files: &[PathBuf],
    ) -> Result<Self, CaseError> {
        if let [_] = named {
            return Ok(Self { schemes: named.to_vec(), reason: SchemeReason::Names });
        }
        let values = read_values(files)?;
        let reason = SchemeReason::Values;
        if named.is_empty() {
            let usual =
                schemes_defining(&[LabelScheme::Brats2018, LabelScheme::Brats2023], &values);
            if !usual.is_empty() {
                return Ok(Self { schemes: usual, reason });
            }
        }
        let allowed = match named {
            [] => &[LabelScheme::Brats2024, LabelScheme::Brats2024Ped],
            _ => named,
        };
        let fitting = schemes_defining(allowed, &values);
        // Where none fits, reading a file says which of its values is strange.
        let usual = named.first().copied().unwrap_or(LabelScheme::Brats2018);
        let first = fitting.first().copied().unwrap_or(usual);
        if fitting.iter().any(|other| !agree_on(first, *other, &values)) {
            return Err(open_meaning_error(folder, "its labels may be", &fitting));
        }
        let is_by_name = fitting.len() == named.len();
        let reason = if is_by_name { SchemeReason::Names } else { reason };
        Ok(Self { schemes: vec![first], reason })
    }

    /// Chooses the truth's scheme and that of its predictions, which is the same unless it is known. Where the truth leaves a choice, it is the first that fits the predictions, too.
    ///
    /// # Errors
    /// If a prediction has to be read and cannot be.
    pub fn choose_pair(
        &self,
        prediction: Option<ChosenScheme>,
        predictions: &[PathBuf],
    ) -> Result<[ChosenScheme; 2], CaseError> {
        let mut scheme = self.schemes[0];
        if self.schemes.len() > 1 && prediction.is_none() {
            let both = schemes_defining(&self.schemes, &read_values(predictions)?);
            scheme = both.first().copied().unwrap_or(scheme);
        }
        let truth = ChosenScheme { scheme, reason: self.reason };
        let as_truth = ChosenScheme { scheme, reason: SchemeReason::Truth };
        Ok([truth, prediction.unwrap_or(as_truth)])
    }
}

fn schemes_defining(schemes: &[LabelScheme], values: &BTreeSet<i64>) -> Vec<LabelScheme> {
    schemes.iter().copied().filter(|scheme| scheme.defines_all(values.iter().copied())).collect()
}

fn read_values(files: &[PathBuf]) -> Result<BTreeSet<i64>, CaseError> {
    let mut values = BTreeSet::new();
    for file in files {
        values.extend(read_label_values(file)?);
    }
    Ok(values)
}

fn open_meaning_error(folder: &Path, cases: &str, schemes: &[LabelScheme]) -> CaseError {
    let options: Vec<String> = schemes.iter().map(|scheme| format!("--labels {scheme}")).collect();
    let example = schemes.last().copied().unwrap_or(LabelScheme::Brats2018);
    CaseError::new(
        Reason::Label,
        folder.display(),
        format!(
            "{cases} of {}, where the same label values mean other tissue",
            join_names(schemes, "and")
        ),
        format!(
            "say which it is: {} (for a run --set data.labels={example}, or in its configuration \
             labels = \"{example}\" under [data])",
            options.join(" or ")
        ),
    )
}

fn join_names(schemes: &[LabelScheme], word: &str) -> String {
    let names: Vec<&str> = schemes.iter().map(|scheme| scheme.name()).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {word} {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// Text of the values that a scheme defines, for the error about a value that it does not.
pub(super) fn definition_text(scheme: LabelScheme) -> String {
    let values: Vec<String> = scheme.file_values().iter().map(ToString::to_string).collect();
    format!("{DEFINES} {} ({scheme})", values.join(", "))
}

const DEFINES: &str = "this dataset defines";

/// True if an error is about a value that another scheme than `scheme` does not define.
pub fn is_of_other_scheme(error: &str, scheme: LabelScheme) -> bool {
    error.contains(DEFINES) && !error.contains(&definition_text(scheme))
}

/// Way out of the error of a file with these values, read as `scheme`: the schemes that define them
/// all, those of releases with the same file names first.
pub(super) fn other_schemes_text(
    scheme: LabelScheme,
    values: impl IntoIterator<Item = i64>,
) -> String {
    let values: BTreeSet<i64> = values.into_iter().collect();
    if scheme.described_tissues().is_some() {
        let unknown = values.iter().find(|value| !scheme.defines_all([**value]));
        let unknown = unknown.copied().unwrap_or_default();
        return format!(
            "say what it is under [labels] in dataset.toml or in data.labels, with the name of a tissue, as \
             background = {unknown}, or as ignore = {unknown}"
        );
    }
    let mut fitting = schemes_defining(&LabelScheme::ALL, &values);
    let is_of_same_names = |other: &LabelScheme| {
        let schemes = all_built_in().iter().map(DatasetDescription::schemes);
        schemes.into_iter().any(|names| names.contains(&scheme) && names.contains(other))
    };
    fitting.sort_by_key(|other| !is_of_same_names(other));
    let Some(example) = fitting.first() else {
        return "no scheme defines all of its values; docs/labels.md lists them, map the file's to \
                one of them"
            .to_owned();
    };
    format!(
        "if it is of {}, say so, as with --labels {example} (for a run --set data.labels={example}; \
         for one side of `score` --truth-labels or --prediction-labels)",
        join_names(&fitting, "or")
    )
}
