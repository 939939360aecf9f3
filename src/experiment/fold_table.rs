//! Outcome of a cross-validation as Markdown, CSV and JSON.

use serde_json::{Map, Value, json};

use crate::base::CaseError;
use crate::eval::{Summary, in_markdown, with_numbers_right};
use crate::experiment::fold_outcome::{ComparedCases, FoldComparison, FoldOutcome, FoldRow};
use crate::experiment::paired_test::ALPHA;
use crate::experiment::table_cells::{
    TEST_HEADINGS, spread_cell, steps_cell, test_cells, verdict_cell,
};

/// Writes the whole report as Markdown.
///
/// # Errors
/// If rows were not scored on the same cases.
pub fn to_markdown(outcome: &FoldOutcome) -> Result<String, CaseError> {
    let FoldOutcome { name, folds, held_out_cases, test_cases, seeds, .. } = outcome;
    let kind = if outcome.phantom { " phantom" } else { "" };
    let plural = if *seeds == 1 { "seed" } else { "seeds" };
    let mut text = format!(
        "# {name}: Dice by cross-validation over {folds} folds of {held_out_cases}{kind} cases\n\n\
         {seeds} {plural}. Each case is predicted by networks that have not seen it. Mean ± sd over all \
         cases; in brackets the sd of the folds' means.\n\n"
    );
    if outcome.phantom {
        text.push_str(
            "These are **phantom** cases: they show what the machinery does, not how well anything \
             segments patients.\n\n",
        );
    }
    text += &format!("{}\n", dice_table(outcome, ComparedCases::HeldOut)?);
    if *test_cases > 0 {
        text += &format!(
            "\nThe mean of {folds} folds' probabilities on {test_cases}{kind} test cases, which no run has \
             seen:\n\n{}\n",
            dice_table(outcome, ComparedCases::Test)?
        );
    }
    let comparisons = all_comparisons(outcome)?;
    if comparisons.is_empty() {
        text.push_str("\nThere is one method, and so nothing to compare.\n");
    } else {
        text += &format!(
            "\n{}\n\nWilcoxon signed rank over cases, two-sided, Holm over the tests on the same cases, \
             {ALPHA}.\n",
            test_table(&comparisons)
        );
    }
    Ok(text)
}

fn all_comparisons(outcome: &FoldOutcome) -> Result<Vec<FoldComparison>, CaseError> {
    let held_out = outcome.compare_rows(ComparedCases::HeldOut)?;
    Ok([held_out, outcome.compare_rows(ComparedCases::Test)?].concat())
}

/// Rows of methods by columns of regions.
fn dice_table(outcome: &FoldOutcome, on: ComparedCases) -> Result<String, CaseError> {
    let mut table = in_markdown();
    let regions = outcome.region_names();
    let title = format!("Dice, {}", on.name());
    let header = [title, "steps".to_string()].into_iter().chain(regions.iter().cloned());
    table.set_header(header);
    for row in &outcome.rows {
        let mut cells = vec![row.name.clone(), steps_cell(row.steps)];
        for region in &regions {
            cells.push(dice_cell(row, on, region)?);
        }
        table.add_row(cells);
    }
    Ok(with_numbers_right(table, 1))
}

fn dice_cell(row: &FoldRow, on: ComparedCases, region: &str) -> Result<String, CaseError> {
    let Some(Summary { mean, sd, .. }) = row.dice_summary(on, region)? else {
        return Ok("-".into());
    };
    let of_folds = match on {
        ComparedCases::HeldOut => row.fold_sd(region),
        ComparedCases::Test => None,
    };
    Ok(spread_cell(mean, sd, of_folds))
}

fn test_table(comparisons: &[FoldComparison]) -> String {
    let mut table = in_markdown();
    let names = ["method", "against", "on", "region"];
    table.set_header(names.into_iter().chain(TEST_HEADINGS).chain(["differs"]));
    for one in comparisons {
        let names =
            [&one.method, &one.with, one.on.name(), &one.region].map(|name: &str| name.to_owned());
        let verdict = verdict_cell(&one.test).to_owned();
        table.add_row(names.into_iter().chain(test_cells(&one.test)).chain([verdict]));
    }
    with_numbers_right(table, 4)
}

/// Writes a CSV file with a line for each method, region and fold, and for all cases of a kind.
///
/// # Errors
/// If a method's repetitions did not score the same cases.
pub fn to_csv(outcome: &FoldOutcome) -> Result<String, CaseError> {
    let mut text = String::from("row,region,cases,fold,dice,sd\n");
    for row in &outcome.rows {
        let name = row.name.replace('"', "\"\"");
        for region in outcome.region_names() {
            for (fold, dice) in row.dice_by_fold(&region).into_iter().enumerate() {
                text += &format!("\"{name}\",{region},held out,{fold},{dice},\n");
            }
            for on in [ComparedCases::HeldOut, ComparedCases::Test] {
                let Some(found) = row.dice_summary(on, &region)? else { continue };
                let sd = found.sd.map_or_else(String::new, |sd| sd.to_string());
                text += &format!("\"{name}\",{region},{},,{},{sd}\n", on.name(), found.mean);
            }
        }
    }
    Ok(text)
}

/// Writes JSON for programs: `rows[].{name, held_out.{ET,…}, test.{ET,…}, folds.{ET,…}}` and `tests[]`.
///
/// # Errors
/// If rows were not scored on the same cases.
pub fn to_json(outcome: &FoldOutcome) -> Result<Value, CaseError> {
    let mut rows = Vec::new();
    for row in &outcome.rows {
        let mut held_out = Map::new();
        let mut test = Map::new();
        let mut folds = Map::new();
        let mut spread = Map::new();
        for region in outcome.region_names() {
            let of_held_out = row.dice_summary(ComparedCases::HeldOut, &region)?;
            held_out.insert(region.clone(), json!(of_held_out));
            test.insert(region.clone(), json!(row.dice_summary(ComparedCases::Test, &region)?));
            folds.insert(region.clone(), json!(row.dice_by_fold(&region)));
            spread.insert(region.clone(), json!(row.fold_sd(&region)));
        }
        rows.push(json!({
            "name": row.name,
            "steps": row.steps,
            "seeds": row.held_out.len(),
            "held_out": held_out,
            "folds": folds,
            "fold_sd": spread,
            "test": test,
        }));
    }
    Ok(json!({
        "name": outcome.name,
        "cohort": if outcome.phantom { "phantom" } else { "cases" },
        "folds": outcome.folds,
        "cases": { "held_out": outcome.held_out_cases, "test": outcome.test_cases },
        "seeds": outcome.seeds,
        "rows": rows,
        "tests": all_comparisons(outcome)?,
    }))
}
