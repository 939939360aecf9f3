//! "Models leveraging knowledge distillation outperform the original stand-alone models" (Nalwade
//! and Kisa): every student against the networks, the ensemble, its control and the student that taught it,
//! region by region, as paired tests over the test cases. All of them are one family, corrected together.

use serde::Serialize;

use crate::base::CaseError;
use crate::eval::statistics::paired::compare_methods;
use crate::eval::statistics::wilcoxon::Alternative;
use crate::experiment::outcome::{Role, TableRow, region_names};
use crate::experiment::paired_test::{ALPHA, PairedTest};

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
    /// Test that the first is better.
    #[serde(flatten)]
    pub test: PairedTest,
}

/// Tests every row that something is claimed of against its rivals; rows that have not run are left out.
///
/// # Errors
/// If rows were not scored on the same cases.
pub fn test_claims(rows: &[TableRow]) -> Result<Vec<Claim>, CaseError> {
    let ran = |row: &&TableRow| !row.runs.is_empty();
    let mut compared = Vec::new();
    let mut gains = Vec::new();
    for row in rows.iter().filter(ran) {
        let is_rival = |other: &&TableRow| row.rivals.contains(&other.name);
        for other in rows.iter().filter(ran).filter(is_rival) {
            for region in region_names(rows) {
                gains.push(compare_methods(
                    &row.dice_by_case(&region),
                    &other.dice_by_case(&region),
                    Alternative::Greater,
                )?);
                compared.push((row, other, region));
            }
        }
    }
    let claim = |((row, other, region), test): ((&TableRow, &TableRow, String), PairedTest)| {
        Claim { better: row.name.clone(), than: other.name.clone(), role: other.role, region, test }
    };
    Ok(compared.into_iter().zip(PairedTest::of_family(gains)).map(claim).collect())
}

/// Words the results of the tests, a sentence for each row that something is claimed of.
pub fn conclusion_sentences(claims: &[Claim]) -> Vec<String> {
    let mut names: Vec<&str> = claims.iter().map(|claim| claim.better.as_str()).collect();
    names.dedup();
    if names.is_empty() {
        return vec!["no claim was tested: no student has run".into()];
    }
    names.into_iter().map(|name| conclusion_of(name, claims)).collect()
}

fn conclusion_of(student: &str, claims: &[Claim]) -> String {
    let against = |role: Role| -> Vec<&Claim> {
        claims.iter().filter(|claim| claim.better == student && claim.role == role).collect()
    };
    let said = |found: &[&Claim]| {
        let held = found.iter().filter(|claim| claim.test.significant).count();
        format!("{held} of {}", found.len())
    };
    // Without single networks in the table, as beside folds, the means are what is to be beaten.
    let (rivals, role) = match against(Role::StandAlone).is_empty() {
        false => ("the stand-alone networks", Role::StandAlone),
        true => ("its teachers", Role::Ensemble),
    };
    let first = against(role);
    let verdict = match first.iter().filter(|claim| claim.test.significant).count() {
        held if held == first.len() && held > 0 => "supported",
        0 => "not supported",
        _ => "supported in part",
    };
    let mut others = vec![format!(
        "{} with the control (the same networks on the labelled cases alone, as many steps, the same \
         learning rates)",
        said(&against(Role::Control))
    )];
    let ensemble = against(Role::Ensemble);
    if role != Role::Ensemble && !ensemble.is_empty() {
        others.push(format!("{} with the ensemble", said(&ensemble)));
    }
    let taught = against(Role::Distilled);
    if let Some(teacher) = taught.first() {
        others.push(format!("{} with {}, which taught it", said(&taught), teacher.than));
    }
    format!(
        "that the student `{student}` outperforms {rivals} is {verdict} here: it is significantly better \
         in {} comparisons with them, {} (Wilcoxon signed rank over cases, one-sided, Holm over {} tests, \
         {ALPHA})",
        said(&first),
        others.join(", "),
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
        let rivals = match role {
            Role::Distilled => ["unet", "ensemble", "control"].map(str::to_owned).to_vec(),
            _ => Vec::new(),
        };
        TableRow { name: name.into(), role, paper: None, steps: None, runs, rivals }
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
            (all[0].test.significant, all[0].test.gain.mean, all[0].test.gain.test.p)
        };
        let (holds, mean, p) = found("unet");
        assert!(holds && (mean - 0.1).abs() < 1e-12 && p < 1e-4, "{mean} {p}");
        assert_eq!((found("ensemble").0, found("control").0), (false, false));
        assert_eq!(found("control").2, 1.0, "nothing but zeros");
        let words = conclusion_sentences(&claims).remove(0);
        assert!(words.contains("is supported here") && words.contains("3 of 3"), "{words}");
        assert!(words.contains("0 of 3 with the control"), "{words}");
        let smallest = claims.iter().map(|claim| claim.test.gain.test.p).fold(1.0, f64::min);
        let adjusted = claims.iter().map(|claim| claim.test.adjusted_p).fold(1.0, f64::min);
        assert!((adjusted - 9.0 * smallest).abs() < 1e-12, "Holm over the whole family");
    }

    #[test]
    fn nothing_is_claimed_of_a_student_that_has_not_run() {
        let mut absent = row("distilled", Role::Distilled, 0.5);
        absent.runs.clear();
        let claims = test_claims(&[absent, row("unet", Role::StandAlone, 0.6)]).unwrap();
        assert!(claims.is_empty());
        assert!(conclusion_sentences(&claims)[0].contains("no claim was tested"));
    }

    #[test]
    fn a_student_of_a_student_is_held_against_it_and_against_its_own_control() {
        let mut taught = row("second", Role::Distilled, 0.8);
        taught.rivals = ["unet", "control of second", "distilled"].map(str::to_owned).to_vec();
        let rows = [
            row("unet", Role::StandAlone, 0.6),
            row("distilled", Role::Distilled, 0.7),
            taught,
            row("control", Role::Control, 0.9),
            row("control of second", Role::Control, 0.5),
        ];
        let claims = test_claims(&rows).unwrap();
        assert_eq!(claims.len(), 2 * 3 + 3 * 3);
        let pairs: Vec<(&str, &str)> =
            claims.iter().map(|claim| (claim.better.as_str(), claim.than.as_str())).collect();
        assert!(!pairs.contains(&("second", "control")), "another student's control");
        let [first, second] = conclusion_sentences(&claims).try_into().unwrap();
        assert!(
            first.contains("`distilled`") && first.contains("0 of 3 with the control"),
            "{first}"
        );
        assert!(second.contains("3 of 3 with distilled, which taught it"), "{second}");
        assert!(second.contains("Holm over 15 tests"), "{second}");
    }
}
