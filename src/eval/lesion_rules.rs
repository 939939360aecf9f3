//! Rules of the lesion-wise scores by the name of the challenge whose program has them, each value with the
//! program that it was read in. What no program was read for is not here: `docs/scores.md` says what is left out.

use serde::{Deserialize, Serialize};

/// Definition of lesions, of how they are found, and of what a miss costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LesionRules {
    /// Way in which lesions of the truth and of the prediction are matched.
    pub matching: LesionMatching,
    /// HD95 in mm of a lesion that is missed or invented.
    pub penalty_mm: f64,
}

/// Match of the lesions of the truth with the components of the prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LesionMatching {
    /// A component belongs to every lesion whose dilation it touches; missed and spurious lesions count in the
    /// means (Saluja, `rachitsaluja/BraTS-2023-Metrics`).
    ByDilation {
        /// Dilations, by 18 neighbours, that join fragments of the truth.
        dilations: usize,
        /// A lesion of the truth of this volume or less, in mm³, is not counted, and may be found unpunished.
        ignored_mm3: f64,
    },
    /// Each component of the truth has one of the prediction at most, by the greatest sum of Dice
    /// (`MaxBipartiteMatching` of panoptica); the means are over matched pairs, and what is missed or
    /// spurious is counted beside them.
    OneToOne,
}

/// HD95 of a missed or invented lesion in BraTS 2023 (`metrics.py`), about the diagonal of its grid,
/// √(240² + 240² + 155²) = 373.13, rounded up.
const PENALTY_2023_MM: f64 = 374.0;

/// HD95 where no lesion is matched in BraTS 2025 (`brats_evaluation/metrics_parser.py`): the same, rounded down.
const PENALTY_2025_MM: f64 = 373.0;

impl LesionRules {
    /// BraTS 2023, glioma of adults: `BraTS-GLI` of `BraTS-2023-Metrics`, `metrics.py` at 43c9052.
    pub const BRATS2023_GLI: Self = Self::by_dilation(3, 50.0);

    /// Rules by name. `BraTS-2023-Metrics` has those of 2023 in `get_LesionWiseResults`; meningioma before
    /// operation kept them in 2024 (`BraTS-2024-Metrics`, `metrics_MEN.py` at f1131e3). Those of 2025 are
    /// the configurations of `BraTS/BraTS_evaluation` at 791134c, the same for every cohort but metastases.
    pub const NAMED: [(&'static str, Self); 7] = [
        ("brats2023-gli", Self::BRATS2023_GLI),
        ("brats2023-ssa", Self::by_dilation(3, 50.0)),
        ("brats2023-ped", Self::by_dilation(3, 50.0)),
        ("brats2023-men", Self::by_dilation(1, 50.0)),
        ("brats2023-met", Self::by_dilation(1, 2.0)),
        ("brats2024-men", Self::by_dilation(1, 50.0)),
        ("brats2025", Self { matching: LesionMatching::OneToOne, penalty_mm: PENALTY_2025_MM }),
    ];

    const fn by_dilation(dilations: usize, ignored_mm3: f64) -> Self {
        let matching = LesionMatching::ByDilation { dilations, ignored_mm3 };
        Self { matching, penalty_mm: PENALTY_2023_MM }
    }

    /// Chooses the rules of lesion-wise scores: those that are `named`, or the default ones where such scores
    /// are asked for without a name.
    pub fn choose(is_asked_for: bool, named: Option<Self>) -> Option<Self> {
        named.or_else(|| is_asked_for.then(Self::default))
    }

    /// First name of rules with these values.
    ///
    /// # Panics
    /// Never for rules that were found by name.
    pub fn name(self) -> &'static str {
        let named = Self::NAMED.iter().find(|(_, own)| *own == self);
        named.expect("rules come from the table").0
    }

    /// Dilations that join fragments of the truth.
    pub(super) const fn dilations(self) -> usize {
        match self.matching {
            LesionMatching::ByDilation { dilations, .. } => dilations,
            LesionMatching::OneToOne => 0,
        }
    }
}

impl Default for LesionRules {
    fn default() -> Self {
        Self::BRATS2023_GLI
    }
}

impl std::str::FromStr for LesionRules {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::NAMED.iter().find(|(name, _)| *name == text);
        named.map(|(_, rules)| *rules).ok_or_else(|| {
            let known = Self::NAMED.map(|(name, _)| name).join(", ");
            format!("`{text}` names no rules of lesion-wise scores; write one of {known}")
        })
    }
}

impl TryFrom<String> for LesionRules {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LesionRules> for String {
    fn from(rules: LesionRules) -> Self {
        rules.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_found_by_name_and_an_unknown_name_lists_them() {
        for (name, rules) in LesionRules::NAMED {
            assert_eq!(name.parse(), Ok(rules));
            assert_eq!(rules.name().parse(), Ok(rules), "the first of equal ones");
        }
        let refused = "brats2024-gli".parse::<LesionRules>().unwrap_err();
        assert!(refused.contains("brats2023-gli, ") && refused.contains("brats2025"), "{refused}");
    }
}
