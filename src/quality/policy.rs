//! Settings: which voxels are tissue, and what becomes of a case with findings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quality::Severity;

/// Rule that tells tissue from background.
#[derive(strum::Display)]
#[strum(serialize_all = "lowercase")]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ForegroundRule {
    /// Tissue is what is not 0 (Isensee et al., Myronenko); not the constant around the head, where
    /// that is another value beyond doubt.
    #[default]
    Nonzero,
    /// Tissue is what is far from the value around the head.
    Threshold,
    /// Tissue is where a mask file is not 0. The text is the file's ending, as in `CASE_mask.nii.gz`.
    #[strum(default)]
    Mask(String),
}

impl From<String> for ForegroundRule {
    fn from(text: String) -> Self {
        match text.as_str() {
            "nonzero" => Self::Nonzero,
            "threshold" => Self::Threshold,
            _ => Self::Mask(text),
        }
    }
}

impl From<ForegroundRule> for String {
    fn from(rule: ForegroundRule) -> Self {
        rule.to_string()
    }
}

/// Policy on findings.
#[derive(strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QualityPolicy {
    /// Cases with any finding above a note are refused.
    Strict,
    /// No case is refused and no voxel changed; findings are told.
    Warn,
    /// Cases without information are refused, spikes are clipped and recorded.
    #[default]
    Clip,
}

/// Consequence of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consequence {
    /// The user is told.
    Tell,
    /// The image is clipped, and the user is told.
    Clip,
    /// The case is refused.
    Refuse,
}

impl QualityPolicy {
    /// All policies.
    pub const ALL: [Self; 3] = [Self::Strict, Self::Warn, Self::Clip];

    /// Name as settings and options have it.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns what becomes of a case with a finding of this severity.
    pub const fn decide_on(self, severity: Severity) -> Consequence {
        match (self, severity) {
            (_, Severity::Note) | (Self::Warn, _) | (Self::Clip, Severity::Doubt) => {
                Consequence::Tell
            }
            (Self::Clip, Severity::Clip) => Consequence::Clip,
            (Self::Clip, Severity::Refuse) | (Self::Strict, _) => Consequence::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_no_information_is_refused_and_a_spike_is_clipped() {
        use Severity::{Clip, Doubt, Note, Refuse};
        let decide =
            |policy: QualityPolicy| [Note, Doubt, Clip, Refuse].map(|s| policy.decide_on(s));
        let [tell, clip, refuse] = [Consequence::Tell, Consequence::Clip, Consequence::Refuse];
        assert_eq!(decide(QualityPolicy::default()), [tell, tell, clip, refuse]);
        assert_eq!(decide(QualityPolicy::Warn), [tell; 4]);
        assert_eq!(decide(QualityPolicy::Strict), [tell, refuse, refuse, refuse]);
    }

    #[test]
    fn a_rule_is_one_of_two_words_or_a_file_and_comes_back() {
        for (text, wanted) in [
            ("\"nonzero\"", ForegroundRule::Nonzero),
            ("\"threshold\"", ForegroundRule::Threshold),
            ("\"mask\"", ForegroundRule::Mask("mask".into())),
        ] {
            let rule: ForegroundRule = serde_json::from_str(text).unwrap();
            assert_eq!((&rule, serde_json::to_string(&rule).unwrap().as_str()), (&wanted, text));
        }
    }
}
