//! What a verb has to say, for people and for programs.

use serde::Serialize;
use serde_json::Value;

/// The outcome of a verb that came to its end.
pub(super) struct Report {
    /// For programs.
    pub(super) json: Value,
    /// For people.
    pub(super) text: String,
    /// Whether some of the data was bad: everything else was done, and the exit code is 3.
    pub(super) bad_data: bool,
}

impl Report {
    /// Of a result without bad data.
    pub(super) fn new(result: &impl Serialize, text: impl Into<String>) -> Self {
        let json = serde_json::to_value(result).expect("reports serialise to JSON");
        Self { json, text: text.into(), bad_data: false }
    }

    /// The same, with exit code 3 if `bad`.
    pub(super) const fn with_bad_data(mut self, bad: bool) -> Self {
        self.bad_data = bad;
        self
    }
}
