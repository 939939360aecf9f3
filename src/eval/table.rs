//! Tables as text: Dice, rows of methods by columns of regions; and all measures of one cohort.

use std::collections::BTreeSet;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::eval::{ByRegion, CohortLesions, CohortScore, Measures, Summary, ThresholdBaseline};
use crate::volume::Region;

/// Cell text of a value that was not computed.
const ABSENT: &str = "not run";

/// Dice per region of one method.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiceRow {
    /// The method.
    pub name: String,
    /// Absent where it was not computed.
    pub dice: ByRegion<Summary>,
}

impl DiceRow {
    /// A cohort's scores; all absent for a method that has not run.
    pub fn of_cohort(name: impl Into<String>, score: Option<&CohortScore>) -> Self {
        let dice =
            score.map(|cohort| cohort.summary_by_region().map_values(|measures| measures.dice));
        Self { name: name.into(), dice: dice.unwrap_or_default() }
    }

    /// The threshold baseline, which has the whole tumour only.
    pub fn of_threshold(name: impl Into<String>, baseline: &ThresholdBaseline) -> Self {
        let values: Vec<f64> = baseline.cases.iter().map(|case| case.dice).collect();
        let whole = Region::WT.name().to_owned();
        let dice = Summary::of_values(&values).map(|dice| (whole, dice));
        Self { name: name.into(), dice: dice.into_iter().collect() }
    }
}

/// Mean and spread as `0.8123 ± 0.0456`, without the spread where there is none.
fn dice_text(dice: Option<&Summary>) -> String {
    match dice {
        None => ABSENT.to_owned(),
        Some(Summary { mean, sd: None, .. }) => format!("{mean:.4}"),
        Some(Summary { mean, sd: Some(sd), .. }) => format!("{mean:.4} ± {sd:.4}"),
    }
}

/// The rows as a Markdown table: it reads well on a terminal and can be pasted into a report. It has a
/// column for each region of any row.
pub fn render_dice(rows: &[DiceRow]) -> String {
    let mut table = in_markdown();
    let regions: BTreeSet<&str> = rows.iter().flat_map(|row| row.dice.region_names()).collect();
    table.set_header(std::iter::once("Dice").chain(regions.iter().copied()));
    for row in rows {
        let values = regions.iter().map(|region| dice_text(row.dice.get(region)));
        table.add_row(std::iter::once(row.name.clone()).chain(values));
    }
    with_numbers_right(table, 1)
}

/// Every measure of every region of a cohort, as a Markdown table: how it spreads over the cases.
pub fn render_measures(cohort: &CohortScore) -> String {
    let mut table = in_markdown();
    table.set_header(["region", "measure", "mean", "sd", "median", "95 % CI of the mean"]);
    for (region, summaries) in cohort.summary_by_region().iter() {
        for (measure, summary) in Measures::<f64>::NAMES.into_iter().zip(&summaries.into_array()) {
            let names: [String; 2] = [region.into(), measure.into()];
            table.add_row([&names[..], &summary_cells(summary)].concat());
        }
    }
    with_numbers_right(table, 2)
}

/// The lesion-wise scores of a cohort, as a Markdown table under the name of their rules.
pub fn render_lesions(cohort: &CohortLesions) -> String {
    let mut table = in_markdown();
    table.set_header([
        "region",
        "lesion-wise",
        "mean",
        "sd",
        "median",
        "95 % CI of the mean",
        "lesions",
        "missed",
        "spurious",
    ]);
    for (region, found) in cohort.regions.iter() {
        let counts = [found.counted, found.missed, found.spurious].map(|count| count.to_string());
        for (measure, summary) in [("dice", &found.dice), ("hd95_mm", &found.hd95_mm)] {
            let names: [String; 2] = [region.into(), measure.into()];
            table.add_row([&names[..], &summary_cells(summary), &counts].concat());
        }
    }
    format!("rules {}\n{}", cohort.rules.name(), with_numbers_right(table, 2))
}

/// Mean, sd, median and interval, with four decimals; a dash where a single case has no spread.
fn summary_cells(summary: &Summary) -> [String; 4] {
    let sd = summary.sd.map_or_else(|| "-".to_owned(), |sd| format!("{sd:.4}"));
    let ci95 = summary.ci95.map(|[low, high]| format!("{low:.4} to {high:.4}"));
    let mean = format!("{:.4}", summary.mean);
    let median = format!("{:.4}", summary.median);
    [mean, sd, median, ci95.unwrap_or_else(|| "-".to_owned())]
}

/// An empty table that is drawn as Markdown.
pub fn in_markdown() -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table
}

/// The table as text; columns behind the first `names` hold numbers and stand to the right.
pub fn with_numbers_right(mut table: Table, names: usize) -> String {
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::threshold::ThresholdCase;
    use crate::eval::{Hd95, LesionRules, score_case, score_lesions};
    use crate::volume::{CaseId, Dims, RegionSet, label};

    #[test]
    fn values_have_four_decimals_and_what_is_absent_says_so() {
        let ids = ["a", "b"].map(CaseId::new);
        let truth = [label::ED, label::ED, 0, 0, 0, 0, 0, 0];
        let prediction = [0, label::ED, label::ED, label::ED, 0, 0, 0, 0];
        let score = |id: &CaseId, predicted: &[u8]| {
            score_case(
                RegionSet::BRATS,
                Hd95::default(),
                id.clone(),
                &truth,
                predicted,
                Dims::cube(2),
                [1.0; 3],
            )
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
        assert_eq!(render_dice(&rows), expected);

        let lines = render_measures(&cohort);
        let wanted = "| WT     | dice        | 0.7000 | 0.4243 | 0.7000 |    0.4000 to 1.0000 |";
        assert!(lines.contains(wanted), "{lines}");
        assert_eq!(lines.lines().count(), 2 + Measures::<f64>::NAMES.len() * Region::BRATS.len());
    }

    #[test]
    fn lesions_of_one_case_are_counted_and_have_no_spread() {
        let truth = [label::ED; 64];
        let rules = "brats2023-met".parse::<LesionRules>().unwrap();
        let id = CaseId::new("a");
        let case =
            score_lesions(RegionSet::BRATS, id, &truth, &[0; 64], Dims::cube(4), [1.0; 3], rules);
        let lines = render_lesions(&CohortLesions::of_cases(vec![case]).unwrap());
        let row = lines.lines().last().unwrap();
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let wanted = ["", "WT", "hd95_mm", "374.0000", "-", "374.0000", "-", "1", "1", "0", ""];
        assert_eq!(cells, wanted);
    }
}
