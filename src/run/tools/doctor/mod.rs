//! The doctor: checks whether a machine is enough for a long run, and says what to do if not.

mod data;
#[cfg(feature = "train")]
mod devices;
mod machine;

use std::path::Path;

use serde::Serialize;

use crate::telemetry::MetricsAddress;

/// FindingGrade of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::Display)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum FindingGrade {
    /// Enough.
    Good,
    /// A run works, but slower or with less than it could.
    Limited,
    /// A run fails, or will.
    Bad,
}

/// Finding of the doctor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Subject of the check.
    pub subject: &'static str,
    /// Observation, with its unit.
    pub found: String,
    /// FindingGrade of the observation.
    pub grade: FindingGrade,
    /// Remedy; empty where none is needed.
    pub remedy: String,
}

impl Finding {
    fn good(subject: &'static str, found: impl Into<String>) -> Self {
        Self { subject, found: found.into(), grade: FindingGrade::Good, remedy: String::new() }
    }

    fn with_grade(self, grade: FindingGrade, remedy: impl Into<String>) -> Self {
        Self { grade, remedy: remedy.into(), ..self }
    }

    /// Grades a number: good from `enough` on, bad below `least`.
    fn graded_by(self, value: f64, [least, enough]: [f64; 2], remedy: &str) -> Self {
        if value >= enough {
            return self;
        }
        let grade = if value < least { FindingGrade::Bad } else { FindingGrade::Limited };
        self.with_grade(grade, remedy)
    }
}

/// Checks everything; `tell` is called with each finding at once.
pub fn examine_machine(
    cache: &Path,
    metrics: MetricsAddress,
    mut tell: impl FnMut(&Finding),
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |finding: Finding| {
        tell(&finding);
        findings.push(finding);
    };
    add(machine::check_cores());
    add(machine::free_memory());
    add(machine::open_files());
    add(machine::metrics_port(metrics));
    add(data::free_space(cache));
    add(data::disk_speed(cache));
    add(data::file_system(cache));
    add(data::cache_contents(cache));
    add(data::decode_speed());
    #[cfg(feature = "train")]
    devices::check_devices(add);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_graded_by_two_bounds() {
        let grade = |value| {
            let finding = Finding::good("speed", "").graded_by(value, [10.0, 20.0], "buy more");
            (finding.grade, finding.remedy)
        };
        assert_eq!(grade(20.0), (FindingGrade::Good, String::new()));
        assert_eq!(grade(19.9), (FindingGrade::Limited, "buy more".into()));
        assert_eq!(grade(9.9), (FindingGrade::Bad, "buy more".into()));
    }
}
