//! Label scheme of a folder, and what told it.

use serde::Serialize;

use crate::volume::LabelScheme;

/// Source of a label scheme.
#[derive(strum::Display, Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemeReason {
    /// The user.
    #[strum(serialize = "as asked")]
    Asked,
    /// Names of the files.
    #[default]
    #[strum(serialize = "from the file names")]
    Names,
    /// Description of the dataset.
    #[strum(serialize = "as its description says")]
    Description,
    /// `dataset.json` of the dataset.
    #[strum(serialize = "as its dataset.json says")]
    DatasetJson,
    /// Values of the files, among the schemes that their names allow.
    #[strum(serialize = "from the values")]
    Values,
    /// Settings of the run.
    #[strum(serialize = "as the run was trained")]
    Run,
    /// Scheme of the truth, for a prediction.
    #[strum(serialize = "as the truth")]
    Truth,
}

/// Label scheme of a folder, and its source.
#[derive(derive_more::Display)]
#[display("{scheme} ({reason})")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ChosenScheme {
    /// The scheme.
    pub scheme: LabelScheme,
    /// Source of the choice.
    pub reason: SchemeReason,
}
