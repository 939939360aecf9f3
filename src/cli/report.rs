//! What a verb has to say, for people and for programs.

use serde::Serialize;
use serde_json::Value;

/// Exit code: the data, or some of it, cannot be used.
const BAD_DATA: u8 = 3;

/// The outcome of a verb that came to its end.
pub(super) struct Report {
    /// For programs.
    pub(super) json: Value,
    /// For people.
    pub(super) text: String,
    /// What the process ends with: 0, or what was wrong though the verb came to its end.
    pub(super) exit_code: u8,
}

impl Report {
    /// Of a result without bad data.
    pub(super) fn new(result: &impl Serialize, text: impl Into<String>) -> Self {
        let json = serde_json::to_value(result).expect("reports serialise to JSON");
        Self { json, text: text.into(), exit_code: 0 }
    }

    /// The same, with exit code 3 if some of the data was `bad`: everything else was done.
    pub(super) const fn with_bad_data(mut self, bad: bool) -> Self {
        self.exit_code = if bad { BAD_DATA } else { 0 };
        self
    }

    /// The same, with exit code 1 if what was found is that runs fail.
    pub(super) const fn with_failure(mut self, failed: bool) -> Self {
        self.exit_code = failed as u8;
        self
    }
}
