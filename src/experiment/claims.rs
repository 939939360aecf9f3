//! "Models leveraging knowledge distillation outperform the original stand-alone models" (Nalwade
//! and Kisa): the distilled student against every other row, region by region, as paired tests over
//! the test cases. All of them are one family, corrected together.

use serde::Serialize;

use crate::base::CaseError;
use crate::eval::statistics::holm;
use crate::eval::statistics::paired::{Gain, compare_methods};
use crate::eval::statistics::wilcoxon::Alternative;
use crate::experiment::outcome::{Role, TableRow, region_names};

/// Below this chance of even one false rejection in the family, a difference counts.
pub const ALPHA: f64 = 0.05;

/// Comparison of two methods in one region.
#[derive(Debug, Clone, Serialize)]
pub struct Claim {
    /// Method that is claimed to be better.
    pub better: String,
    /// Method that it is compared with.
    pub than: String,
    /// Role of the other method.
    pub role: Role,
    /// Region.
    pub region: String,
    /// Mean difference of Dice, its interval, and the test.
    #[serde(flatten)]
    pub gain: Gain,
    /// The chance after Holm's correction over the family.
    pub adjusted_p: f64,
    /// True if `adjusted_p` is below [`ALPHA`].
    pub holds: bool,
}

/// Tests the distilled row against every other that has run; returns none if it has not run itself.
///
/// # Errors
/// If rows were not scored on the same cases.
pub fn test_claims(rows: &[TableRow]) -> Result<Vec<Claim>, CaseError> {
    let ran = |row: &&TableRow| !row.runs.is_empty();
    let distilled = rows.iter().filter(ran).find(|row| row.role == Role::Distilled);
    let Some(distilled) = distilled else { return Ok(Vec::new()) };
    let others = rows.iter().filter(ran).filter(|row| row.role != Role::Distilled);
    let mut claims = Vec::new();
    for other in others {
        for region in region_names(rows) {
            claims.push(Claim {
                better: distilled.name.clone(),
                than: other.name.clone(),
                role: other.role,
                gain: compare_methods(
                    &distilled.dice_by_case(&region),
                    &other.dice_by_case(&region),
                    Alternative::Greater,
                )?,
                region,
                adjusted_p: 1.0,
                holds: false,
            });
        }
    }
    let chances: Vec<f64> = claims.iter().map(|claim| claim.gain.test.p).collect();
    for (claim, adjusted) in claims.iter_mut().zip(holm::adjust_p_values(&chances)) {
        claim.adjusted_p = adjusted;
        claim.holds = adjusted < ALPHA;
    }
    Ok(claims)
}

/// Words the result of the tests.
pub fn conclusion_sentence(claims: &[Claim]) -> String {
    if claims.is_empty() {
        return "the claim was not tested: the distilled row has not run".into();
    }
    let against =
        |role: Role| -> Vec<&Claim> { claims.iter().filter(|claim| claim.role == role).collect() };
    let said = |found: &[&Claim]| {
        let held = found.iter().filter(|claim| claim.holds).count();
        format!("{held} of {}", found.len())
    };
    let alone = against(Role::StandAlone);
    let verdict = match alone.iter().filter(|claim| claim.holds).count() {
        held if held == alone.len() && held > 0 => "supported",
        0 => "not supported",
        _ => "supported in part",
    };
    format!(
        "that the distilled student outperforms the stand-alone networks is {verdict} here: it is \
         significantly better in {} comparisons with them, {} with the control (the same network on \
         the labelled cases alone, as many steps, the same learning rates) and {} with the ensemble \
         (Wilcoxon signed rank over cases, one-sided, Holm over {} tests, {ALPHA})",
        said(&alone),
        said(&against(Role::Control)),
        said(&against(Role::Ensemble)),
        claims.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{ByRegion, CaseScore, CohortScore, Hd95, Measures, RegionScore};
    use crate::volume::{CaseId, RegionSet};

    /// Sixteen cases with that Dice in every region, spread a little.
    fn row(name: &str, role: Role, dice: f64) -> TableRow {
        let score = |number: usize| {
            let dice = dice + 1e-3 * (number * number % 7) as f64;
            let measures = Measures {
                dice,
                hd95_mm: 1.0,
                nsd_half_mm: 1.0,
                nsd_one_mm: 1.0,
                sensitivity: 1.0,
                specificity: 1.0,
            };
            let region = RegionScore { measures, truth_voxels: 1, predicted_voxels: 1 };
            let case = CaseId::new(format!("case{number:02}"));
            CaseScore {
                case,
                hd95: Hd95::Medpy,
                regions: ByRegion::of_regions(RegionSet::BRATS, |_| region),
            }
        };
        let scores: Vec<CaseScore> = (0..16).map(score).collect();
        let ids: Vec<CaseId> = scores.iter().map(|score| score.case.clone()).collect();
        let runs = vec![CohortScore::new(&ids, scores).unwrap()];
        TableRow { name: name.into(), role, paper: None, steps: None, runs }
    }

    #[test]
    fn the_student_is_held_against_every_row_and_the_words_follow_the_tests() {
        let rows = [
            row("unet", Role::StandAlone, 0.6),
            row("ensemble", Role::Ensemble, 0.8),
            row("distilled", Role::Distilled, 0.7),
            row("control", Role::Control, 0.7),
        ];
        let claims = test_claims(&rows).unwrap();
        assert_eq!(claims.len(), 9);
        let found = |than: &str| {
            let all: Vec<&Claim> = claims.iter().filter(|claim| claim.than == than).collect();
            assert_eq!(all.len(), 3);
            (all[0].holds, all[0].gain.mean, all[0].gain.test.p)
        };
        let (holds, mean, p) = found("unet");
        assert!(holds && (mean - 0.1).abs() < 1e-12 && p < 1e-4, "{mean} {p}");
        assert_eq!((found("ensemble").0, found("control").0), (false, false));
        assert_eq!(found("control").2, 1.0, "nothing but zeros");
        let words = conclusion_sentence(&claims);
        assert!(words.contains("is supported here") && words.contains("3 of 3"), "{words}");
        assert!(words.contains("0 of 3 with the control"), "{words}");
        let smallest = claims.iter().map(|claim| claim.gain.test.p).fold(1.0, f64::min);
        let adjusted = claims.iter().map(|claim| claim.adjusted_p).fold(1.0, f64::min);
        assert!((adjusted - 9.0 * smallest).abs() < 1e-12, "Holm over the whole family");
    }

    #[test]
    fn nothing_is_claimed_of_a_student_that_has_not_run() {
        let mut absent = row("distilled", Role::Distilled, 0.5);
        absent.runs.clear();
        let claims = test_claims(&[absent, row("unet", Role::StandAlone, 0.6)]).unwrap();
        assert!(claims.is_empty());
        assert!(conclusion_sentence(&claims).contains("was not tested"));
    }
}
