//! Output of a verb, for people and for programs.

use serde::Serialize;
use serde_json::Value;

/// Exit code: the data, or some of it, cannot be used.
const BAD_DATA: u8 = 3;

/// Exit code: stopped on request.
const STOPPED: u8 = 75;

/// Output of a verb that came to its end.
pub(super) struct CommandOutput {
    /// JSON document for programs.
    pub(super) json: Value,
    /// Text for people.
    pub(super) text: String,
    /// Exit code of the process: 0, or the code of what was wrong with the data.
    pub(super) exit_code: u8,
}

impl CommandOutput {
    /// Returns the output of a result without bad data.
    pub(super) fn new(result: &impl Serialize, text: impl Into<String>) -> Self {
        let json = serde_json::to_value(result).expect("reports serialise to JSON");
        Self { json, text: text.into(), exit_code: 0 }
    }

    /// Sets exit code 3 if some of the data was `bad`: everything else was done.
    pub(super) const fn with_bad_data(mut self, bad: bool) -> Self {
        self.exit_code = if bad { BAD_DATA } else { 0 };
        self
    }

    /// Sets exit code 75 if the verb was stopped on request, and has results all the same.
    pub(super) const fn with_stop(mut self, stopped: bool) -> Self {
        if stopped {
            self.exit_code = STOPPED;
        }
        self
    }

    /// Sets exit code 1 if runs would fail.
    pub(super) const fn with_failure(mut self, failed: bool) -> Self {
        self.exit_code = failed as u8;
        self
    }
}
