//! The doctor: checks whether a machine is enough for a long run, and says what to do if not.

mod data;
#[cfg(feature = "train")]
mod devices;
mod machine;

use std::path::Path;

use serde::Serialize;

use crate::telemetry::exporter::MetricsAddress;

/// Grade of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Enough.
    Good,
    /// A run works, but slower or with less than it could.
    Limited,
    /// A run fails, or will.
    Bad,
}

impl Grade {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Limited => "limited",
            Self::Bad => "bad",
        }
    }
}

/// Finding of the doctor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Subject of the check.
    pub subject: &'static str,
    /// Observation, with its unit.
    pub found: String,
    /// Grade of the observation.
    pub grade: Grade,
    /// Remedy; empty where none is needed.
    pub remedy: String,
}

impl Finding {
    fn good(subject: &'static str, found: impl Into<String>) -> Self {
        Self { subject, found: found.into(), grade: Grade::Good, remedy: String::new() }
    }

    fn but(self, grade: Grade, remedy: impl Into<String>) -> Self {
        Self { grade, remedy: remedy.into(), ..self }
    }

    /// Grades a number: good from `enough` on, bad below `least`.
    fn measured(self, value: f64, [least, enough]: [f64; 2], remedy: &str) -> Self {
        if value >= enough {
            return self;
        }
        let grade = if value < least { Grade::Bad } else { Grade::Limited };
        self.but(grade, remedy)
    }
}

/// Checks everything; `tell` is called with each finding at once.
pub fn examine(
    cache: &Path,
    metrics: MetricsAddress,
    mut tell: impl FnMut(&Finding),
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |finding: Finding| {
        tell(&finding);
        findings.push(finding);
    };
    add(machine::cores());
    add(machine::memory());
    add(machine::open_files());
    add(machine::port(metrics));
    add(data::free_space(cache));
    add(data::disk(cache));
    add(data::case_files(cache));
    add(data::decode());
    #[cfg(feature = "train")]
    devices::each(add);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_graded_by_two_bounds() {
        let grade = |value| {
            let finding = Finding::good("speed", "").measured(value, [10.0, 20.0], "buy more");
            (finding.grade, finding.remedy)
        };
        assert_eq!(grade(20.0), (Grade::Good, String::new()));
        assert_eq!(grade(19.9), (Grade::Limited, "buy more".into()));
        assert_eq!(grade(9.9), (Grade::Bad, "buy more".into()));
    }
}
