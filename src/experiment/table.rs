//! Outcome of an experiment as Markdown, CSV and JSON, with the paper's figures beside.

use serde_json::{Map, Value, json};

use crate::base::{CaseError, capitalize_first};
use crate::eval::{in_markdown, with_numbers_right};
use crate::experiment::claims::{Claim, conclusion_sentences, test_claims};
use crate::experiment::outcome::{ExperimentOutcome, PseudoLabelQuality, TableRow, region_names};
use crate::experiment::table_cells::{
    TEST_HEADINGS, spread_cell, steps_cell, test_cells, verdict_cell,
};

/// Text of a cell whose row has not run.
const NOT_RUN: &str = "not run";

/// Writes the whole report as Markdown.
///
/// # Errors
/// If rows were not scored on the same cases.
pub fn to_markdown(outcome: &ExperimentOutcome) -> Result<String, CaseError> {
    let claims = test_claims(&outcome.rows)?;
    let cases = outcome.cases;
    let kind = if outcome.phantom { " phantom" } else { "" };
    let mut text = format!(
        "# {}: Dice on {}{kind} test cases\n\n{} labelled training cases, {} for validation, {} \
         unlabelled; {} {}. Mean ± sd over the cases",
        outcome.name,
        cases.test,
        cases.train,
        cases.validation,
        cases.unlabelled,
        outcome.seeds,
        if outcome.seeds == 1 { "seed" } else { "seeds" },
    );
    if outcome.seeds > 1 {
        text.push_str(
            ", each case the mean of its seeds; in brackets the sd of the mean over seeds",
        );
    }
    text.push_str(match has_paper(outcome) {
        true => ". The paper's figures are of other cases and of one run.\n\n",
        false => ".\n\n",
    });
    if outcome.phantom {
        text.push_str(
            "These are **phantom** cases: they show what the machinery does, not how well anything \
             segments patients",
        );
        text.push_str(match has_paper(outcome) {
            true => ", and a difference from the paper means nothing.\n\n",
            false => ".\n\n",
        });
    }
    text.push_str(&dice_table(outcome)?);
    text.push_str("\n\n");
    let validated: Vec<String> =
        outcome.validation.iter().map(|(network, dice)| format!("{network} {dice:.4}")).collect();
    for (student, networks) in &outcome.students {
        text += &format!("Student {student}: {}. ", networks.join(", "));
    }
    text += &format!("Mean Dice on the validation cases: {}.\n", validated.join(", "));
    for teacher in &outcome.pseudo_labels {
        if let Some(quality) = label_quality(teacher) {
            let name = &teacher.teacher;
            text += &format!("Pseudo-labels of {name} against the hidden truth: {quality}.\n");
        }
    }
    if !outcome.curve.is_empty() {
        text += &format!("\n{}\n", curve_table(outcome));
    }
    if !claims.is_empty() {
        text += &format!("\n{}\n", test_table(&claims));
    }
    for sentence in conclusion_sentences(&claims) {
        text += &format!("\n{}.\n", capitalize_first(&sentence));
    }
    Ok(text)
}

/// True if a row of the table is one of the paper's.
fn has_paper(outcome: &ExperimentOutcome) -> bool {
    outcome.rows.iter().any(|row| row.paper.is_some())
}

/// Rows of methods by columns of regions, with the paper's figures and the differences where there are any.
fn dice_table(outcome: &ExperimentOutcome) -> Result<String, CaseError> {
    let mut table = in_markdown();
    let mut header = vec!["Dice".to_string(), "steps".to_string()];
    let regions = region_names(&outcome.rows);
    for region in &regions {
        header.push(region.clone());
        if has_paper(outcome) {
            header.extend(["paper".into(), "difference".into()]);
        }
    }
    table.set_header(header);
    for row in &outcome.rows {
        let mut cells = vec![row.name.clone(), steps_cell(row.steps)];
        for region in &regions {
            let columns = if has_paper(outcome) { 3 } else { 1 };
            cells.extend(cells_of(row, region)?.into_iter().take(columns));
        }
        table.add_row(cells);
    }
    Ok(with_numbers_right(table, 1))
}

fn cells_of(row: &TableRow, region: &str) -> Result<[String; 3], CaseError> {
    let paper = row.paper.and_then(|paper| paper.region_dice(region));
    let printed = paper.map_or_else(|| "-".to_string(), |paper| format!("{paper:.4}"));
    let Some(found) = row.dice_summary(region)? else {
        return Ok([NOT_RUN.into(), printed, "-".into()]);
    };
    let own = spread_cell(found.mean, found.sd, row.seed_sd(region));
    let gap = paper.map_or_else(|| "-".to_string(), |paper| format!("{:+.4}", found.mean - paper));
    Ok([own, printed, gap])
}

fn test_table(claims: &[Claim]) -> String {
    let mut table = in_markdown();
    let names = ["student", "against", "region"];
    table.set_header(names.into_iter().chain(TEST_HEADINGS).chain(["better"]));
    for claim in claims {
        let names = [&claim.better, &claim.than, &claim.region].map(String::clone);
        let verdict = verdict_cell(&claim.test).to_owned();
        table.add_row(names.into_iter().chain(test_cells(&claim.test)).chain([verdict]));
    }
    with_numbers_right(table, 3)
}

fn label_quality(teacher: &PseudoLabelQuality) -> Option<String> {
    let first = teacher.dice.first()?;
    let mean = |region: &str| {
        let values: Vec<f64> =
            teacher.dice.iter().filter_map(|seed| seed.get(region).copied()).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let words: Vec<String> =
        first.keys().map(|region| format!("{region} {:.4}", mean(region))).collect();
    Some(words.join(", "))
}

/// Dice of the first student's networks by the amount of labelled data.
fn curve_table(outcome: &ExperimentOutcome) -> String {
    let mut table = in_markdown();
    let networks = outcome.students.first().map(|(_, networks)| networks.join(", "));
    let title = format!("{} on labelled cases", networks.unwrap_or_default());
    let regions: Vec<&String> = outcome.curve.iter().take(1).flat_map(|p| p.dice.keys()).collect();
    table.set_header(std::iter::once(&title).chain(regions.iter().copied()));
    for point in &outcome.curve {
        let share = format!("{:.0} %", 100.0 * point.fraction);
        table.add_row(std::iter::once(share).chain(
            regions.iter().map(|region| spread_cell(point.dice[*region], point.sd[*region], None)),
        ));
    }
    with_numbers_right(table, 1)
}

/// Writes a CSV file with a line for each row and region.
///
/// # Errors
/// If a row's seeds did not score the same cases.
pub fn to_csv(outcome: &ExperimentOutcome) -> Result<String, CaseError> {
    let mut text = String::from("row,region,cases,seeds,dice,sd,median,ci95_low,ci95_high,paper\n");
    let regions = region_names(&outcome.rows);
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for row in &outcome.rows {
        for region in &regions {
            let found = row.dice_summary(region)?;
            let paper = row.paper.and_then(|paper| paper.region_dice(region));
            let cases = row.runs.first().map_or(0, |run| run.cases().len());
            let interval = found.and_then(|found| found.ci95);
            let own = found.map_or_else(|| NOT_RUN.to_string(), |found| found.mean.to_string());
            text += &format!(
                "\"{}\",{region},{cases},{},{own},{},{},{},{},{}\n",
                row.name.replace('"', "\"\""),
                row.runs.len(),
                number(found.and_then(|found| found.sd)),
                number(found.map(|found| found.median)),
                number(interval.map(|[low, _]| low)),
                number(interval.map(|[_, high]| high)),
                number(paper),
            );
        }
    }
    Ok(text)
}

/// Writes JSON for programs: `rows[].{name, dice.{ET,TC,WT}, …}` and `tests[]`; null if not run.
///
/// # Errors
/// If rows were not scored on the same cases.
pub fn to_json(outcome: &ExperimentOutcome) -> Result<Value, CaseError> {
    let claims = test_claims(&outcome.rows)?;
    let regions = region_names(&outcome.rows);
    let mut rows = Vec::new();
    for row in &outcome.rows {
        let mut dice = Map::new();
        let mut spread = Map::new();
        let mut paper = Map::new();
        let mut over_seeds = Map::new();
        for region in &regions {
            let found = row.dice_summary(region)?;
            let name = region.clone();
            dice.insert(name.clone(), json!(found.map(|found| found.mean)));
            spread.insert(name.clone(), json!(found));
            let printed = row.paper.and_then(|paper| paper.region_dice(region));
            paper.insert(name.clone(), json!(printed));
            over_seeds.insert(name, json!(row.seed_sd(region)));
        }
        rows.push(json!({
            "name": row.name,
            "role": row.role,
            "steps": row.steps,
            "seeds": row.runs.len(),
            "dice": dice,
            "spread": spread,
            "seed_sd": over_seeds,
            "paper": paper,
        }));
    }
    let student =
        |(name, networks): &(String, Vec<String>)| json!({"name": name, "networks": networks});
    let students: Vec<Value> = outcome.students.iter().map(student).collect();
    Ok(json!({
        "name": outcome.name,
        "cohort": if outcome.phantom { "phantom" } else { "cases" },
        "cases": outcome.cases,
        "seeds": outcome.seeds,
        "students": students,
        "validation": outcome.validation,
        "pseudo_labels": outcome.pseudo_labels,
        "rows": rows,
        "curve": outcome.curve,
        "conclusions": conclusion_sentences(&claims),
        "tests": claims,
    }))
}
