//! Setting `data.patients`: the patient of each case, where the layout does not tell it.

use std::collections::BTreeMap;
use std::path::Path;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::base::ConfigError;
use crate::run::config::case_table::{list_names, read_columns};
use crate::volume::{CaseId, PatientId};

const FIELD: &str = "data.patients";

/// Pattern of case names with a part named `patient`, or CSV file with the columns `case` and
/// `patient`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PatientRule(String);

impl TryFrom<String> for PatientRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_table(&text) {
            return Ok(Self(text));
        }
        let example = r"write one such as ^(?<patient>.+)_[0-9]+$, or name a .csv file";
        let pattern = Regex::new(&text).map_err(|error| {
            let told = error.to_string();
            let cause = told.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("data.patients = `{text}` is no pattern: {cause}; {example}")
        })?;
        if pattern.capture_names().flatten().all(|name| name != "patient") {
            return Err(format!("data.patients = `{text}` has no part named patient; {example}"));
        }
        Ok(Self(text))
    }
}

impl From<PatientRule> for String {
    fn from(rule: PatientRule) -> Self {
        rule.0
    }
}

fn is_table(text: &str) -> bool {
    text.to_ascii_lowercase().ends_with(".csv")
}

impl PatientRule {
    /// Returns the patient of each of `cases`, in their order.
    ///
    /// # Errors
    /// If the table cannot be read or has a case twice, or a case has no patient by this rule.
    pub fn find_patients(&self, cases: &[CaseId]) -> Result<Vec<PatientId>, ConfigError> {
        let found = if is_table(&self.0) { self.look_up(cases)? } else { self.match_names(cases) };
        let strangers: Vec<&CaseId> =
            cases.iter().zip(&found).filter(|(_, own)| own.is_none()).map(|(id, _)| id).collect();
        if !strangers.is_empty() {
            let names = list_names(&strangers);
            let problem = format!("a rule that tells no patient of {names}");
            return Err(ConfigError::new(FIELD, &self.0, problem, "let it cover every case"));
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn match_names(&self, cases: &[CaseId]) -> Vec<Option<PatientId>> {
        let pattern = Regex::new(&self.0).expect("a pattern is checked when it is read");
        let patient_of = |id: &CaseId| {
            let found = pattern.captures(id.as_str())?.name("patient")?.as_str();
            (!found.is_empty()).then(|| PatientId::new(found))
        };
        cases.iter().map(patient_of).collect()
    }

    fn look_up(&self, cases: &[CaseId]) -> Result<Vec<Option<PatientId>>, ConfigError> {
        let mut patients = BTreeMap::new();
        for [case, patient] in read_columns(FIELD, Path::new(&self.0), ["case", "patient"])? {
            if patients.insert(case.clone(), PatientId::new(patient)).is_some() {
                let problem = format!("a table that has the case {case} twice");
                let way_out = "leave one line a case";
                return Err(ConfigError::new(FIELD, &self.0, problem, way_out));
            }
        }
        Ok(cases.iter().map(|id| patients.get(id.as_str()).cloned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs;

    fn rule(text: &str) -> PatientRule {
        PatientRule::try_from(text.to_owned()).unwrap()
    }

    fn ids(names: &[&str]) -> Vec<CaseId> {
        names.iter().map(|name| CaseId::new(*name)).collect()
    }

    #[test]
    fn a_pattern_names_the_patient_and_must_fit_every_case() {
        let upenn = rule(r"^(?<patient>UPENN-GBM-\d+)_\d+$");
        let found = upenn.find_patients(&ids(&["UPENN-GBM-00002_11", "UPENN-GBM-00002_21"]));
        assert_eq!(found.unwrap(), ["UPENN-GBM-00002"; 2].map(PatientId::new));
        let refused = upenn.find_patients(&ids(&["a", "UPENN-GBM-00002_11", "b"])).unwrap_err();
        assert!(refused.to_string().contains("no patient of a, b; let"), "{refused}");
        assert!(rule("(?P<patient>x*)").find_patients(&ids(&["a"])).is_err(), "an empty name");
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_field() {
        for (text, words) in [
            ("(?<patient>", "is no pattern: unclosed group"),
            ("^(.+)_1$", "has no part named patient"),
            ("patients.txt", "name a .csv file"),
        ] {
            let refused = PatientRule::try_from(text.to_owned()).unwrap_err();
            assert!(
                refused.starts_with("data.patients = `") && refused.contains(words),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_table_has_one_line_for_every_case() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("patients.csv");
        let table = rule(&path.display().to_string());
        assert!(table.find_patients(&ids(&["a"])).unwrap_err().to_string().contains("cannot be"));
        fs::write(&path, "patient,case\np,a\nq,c\np,b\n").unwrap();
        assert_eq!(table.find_patients(&ids(&["a", "b"])).unwrap(), ["p", "p"].map(PatientId::new));
        let missing = table.find_patients(&ids(&["a", "d"])).unwrap_err().to_string();
        assert!(missing.contains("no patient of d"), "{missing}");
        fs::write(&path, "patient,case\np,a\nq,a\n").unwrap();
        let twice = table.find_patients(&ids(&["a"])).unwrap_err().to_string();
        assert!(twice.contains("the case a twice"), "{twice}");
    }
}
