//! A table of Dice, rows of methods by columns of regions, as text. Data first: what a row holds
//! can be written elsewhere too.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::eval::cohort::{CohortScore, Summary};
use crate::eval::threshold::ThresholdBaseline;
use crate::volume::region::Region;

/// What a cell reads when its value was not computed.
const ABSENT: &str = "not run";

/// One method's Dice per region, in the order of [`Region::ALL`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiceRow {
    /// The method.
    pub name: String,
    /// Absent where it was not computed.
    pub dice: [Option<Summary>; Region::COUNT],
}

impl DiceRow {
    /// A cohort's scores; all absent for a method that has not run.
    pub fn of_cohort(name: impl Into<String>, score: Option<&CohortScore>) -> Self {
        let dice = Region::ALL.map(|region| score.map(|cohort| cohort.summary(region).dice));
        Self { name: name.into(), dice }
    }

    /// The threshold baseline, which knows the whole tumour only.
    pub fn of_threshold(name: impl Into<String>, baseline: &ThresholdBaseline) -> Self {
        let values: Vec<f64> = baseline.cases.iter().map(|case| case.dice).collect();
        let mut dice = [None; Region::COUNT];
        dice[Region::Wt.index()] = Summary::of(&values);
        Self { name: name.into(), dice }
    }
}

/// Mean and spread as `0.8123 ± 0.0456`, without the spread where there is none.
fn text(dice: Option<&Summary>) -> String {
    match dice {
        None => ABSENT.to_owned(),
        Some(Summary { mean, sd: None, .. }) => format!("{mean:.4}"),
        Some(Summary { mean, sd: Some(sd), .. }) => format!("{mean:.4} ± {sd:.4}"),
    }
}

/// The rows as a Markdown table: it reads well on a terminal and can be pasted into a report.
pub fn render(rows: &[DiceRow]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let regions = Region::ALL.map(|region| region.name().to_owned());
    table.set_header(std::iter::once("Dice".to_owned()).chain(regions));
    for row in rows {
        let values = row.dice.iter().map(|dice| text(dice.as_ref()));
        table.add_row(std::iter::once(row.name.clone()).chain(values));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::score::score_case;
    use crate::eval::threshold::ThresholdCase;
    use crate::volume::case::CaseId;
    use crate::volume::grid::Dims;
    use crate::volume::region::label;

    #[test]
    fn values_have_four_decimals_and_what_is_absent_says_so() {
        let ids = ["a", "b"].map(CaseId::new);
        let truth = [label::ED, label::ED, 0, 0, 0, 0, 0, 0];
        let prediction = [0, label::ED, label::ED, label::ED, 0, 0, 0, 0];
        let score = |id: &CaseId, predicted: &[u8]| {
            score_case(id.clone(), &truth, predicted, Dims::cube(2), [1.0; 3])
        };
        let scores = vec![score(&ids[0], &truth), score(&ids[1], &prediction)];
        let cohort = CohortScore::new(&ids, scores).unwrap();
        let baseline = ThresholdBaseline {
            threshold: 1.0,
            mean_dice: 0.25,
            cases: vec![ThresholdCase { case: ids[0].clone(), dice: 0.25 }],
        };
        let rows = [
            DiceRow::of_cohort("unet", Some(&cohort)),
            DiceRow::of_threshold("FLAIR threshold", &baseline),
            DiceRow::of_cohort("ensemble", None),
        ];
        let expected = "\
| Dice            |              ET |              TC |              WT |
|-----------------|-----------------|-----------------|-----------------|
| unet            | 1.0000 ± 0.0000 | 1.0000 ± 0.0000 | 0.7000 ± 0.4243 |
| FLAIR threshold |         not run |         not run |          0.2500 |
| ensemble        |         not run |         not run |         not run |";
        assert_eq!(render(&rows), expected);
    }
}
