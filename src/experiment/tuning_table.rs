//! Outcome of a search as Markdown, CSV and JSON: trials by rung, the winner, and its Dice on the test cases.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::eval::{CohortScore, in_markdown, with_numbers_right};
use crate::experiment::tuning::halving::{Rung, total_epochs};

/// Outcome of a search.
#[derive(Debug, Clone)]
pub struct TuningOutcome {
    /// The study's name.
    pub name: String,
    /// True if the cases are phantoms.
    pub phantom: bool,
    /// The network whose settings were searched.
    pub network: String,
    /// Names of the settings, in the order of the file.
    pub settings: Vec<String>,
    /// Values of the settings by trial.
    pub trials: BTreeMap<u64, Vec<toml::Value>>,
    /// Rungs, the shortest first.
    pub rungs: Vec<RungOutcome>,
    /// Scores of the winner on the test cases; none without such cases.
    pub test: Option<CohortScore>,
}

/// Outcome of a rung.
#[derive(Debug, Clone)]
pub struct RungOutcome {
    /// Epochs after which its trials were compared.
    pub epochs: u64,
    /// Number and mean validation Dice of each trial, the best first.
    pub ranking: Vec<(u64, f64)>,
}

impl TuningOutcome {
    /// The winner and its mean Dice on the validation cases.
    ///
    /// # Panics
    /// Never: a search has a rung and a trial.
    pub fn best(&self) -> (u64, f64) {
        self.rungs.last().expect("a search has a rung").ranking[0]
    }

    /// Epochs that were trained in all.
    pub fn epochs_trained(&self) -> u64 {
        let rung = |one: &RungOutcome| Rung { epochs: one.epochs, trials: one.ranking.len() };
        total_epochs(&self.rungs.iter().map(rung).collect::<Vec<Rung>>())
    }

    /// Trials in the order of the table: who came further, then who was better there.
    fn ranked_trials(&self) -> Vec<u64> {
        let mut order = Vec::new();
        for rung in self.rungs.iter().rev() {
            for (trial, _) in &rung.ranking {
                if !order.contains(trial) {
                    order.push(*trial);
                }
            }
        }
        order
    }

    fn dice_in_rung(&self, rung: &RungOutcome, trial: u64) -> Option<f64> {
        rung.ranking.iter().find(|(number, _)| *number == trial).map(|(_, dice)| *dice)
    }

    fn test_dice(&self) -> Option<BTreeMap<String, f64>> {
        let summary = self.test.as_ref()?.summary_by_region().iter();
        Some(summary.map(|(region, measures)| (region.to_owned(), measures.dice.mean)).collect())
    }
}

/// Writes the report as Markdown.
pub fn to_markdown(outcome: &TuningOutcome) -> String {
    let kind = if outcome.phantom { " phantom" } else { "" };
    let (best, dice) = outcome.best();
    let mut text = format!(
        "# {}: search for settings of {}\n\n{} trials, {} epochs in all. Mean Dice on the{kind} validation \
         cases, after so many epochs; a trial without a figure was not promoted.\n\n{}\n\n",
        outcome.name,
        outcome.network,
        outcome.trials.len(),
        outcome.epochs_trained(),
        trial_table(outcome),
    );
    text += &format!(
        "Trial {best} is the best on the validation cases: mean Dice {dice:.4}. Its configuration is in \
         `best.toml`.\n"
    );
    if let (Some(by_region), Some(scores)) = (outcome.test_dice(), &outcome.test) {
        let words: Vec<String> =
            by_region.iter().map(|(region, dice)| format!("{region} {dice:.4}")).collect();
        text += &format!(
            "The{kind} test cases, {} of them, were met by this trial alone, and once: Dice {}.\n",
            scores.cases().len(),
            words.join(", ")
        );
    }
    text
}

fn trial_table(outcome: &TuningOutcome) -> String {
    let mut table = in_markdown();
    let rungs = outcome.rungs.iter().map(|rung| match rung.epochs {
        1 => "1 epoch".to_owned(),
        epochs => format!("{epochs} epochs"),
    });
    let header = std::iter::once("trial".to_owned()).chain(outcome.settings.iter().cloned());
    table.set_header(header.chain(rungs));
    for trial in outcome.ranked_trials() {
        let values = outcome.trials[&trial].iter().map(value_in_words);
        let cells = std::iter::once(trial.to_string()).chain(values);
        let dice = outcome.rungs.iter().map(|rung| {
            let found = outcome.dice_in_rung(rung, trial);
            found.map_or_else(|| "-".to_owned(), |dice| format!("{dice:.4}"))
        });
        table.add_row(cells.chain(dice));
    }
    with_numbers_right(table, 1)
}

/// Four digits of a number are enough to read; `table.csv` has all.
fn value_in_words(value: &toml::Value) -> String {
    match value {
        toml::Value::Float(number) => format!("{number:.4e}"),
        other => other.to_string(),
    }
}

/// Writes a CSV file with a line for each trial and rung.
pub fn to_csv(outcome: &TuningOutcome) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let names: Vec<String> = outcome.settings.iter().map(|name| quoted(name)).collect();
    let mut text = format!("trial,{},epochs,dice\n", names.join(","));
    for trial in outcome.ranked_trials() {
        let values: Vec<String> =
            outcome.trials[&trial].iter().map(|value| quoted(&value.to_string())).collect();
        for rung in &outcome.rungs {
            if let Some(dice) = outcome.dice_in_rung(rung, trial) {
                text += &format!("{trial},{},{},{dice}\n", values.join(","), rung.epochs);
            }
        }
    }
    text
}

/// Writes JSON for programs.
pub fn to_json(outcome: &TuningOutcome) -> Value {
    let settings = |trial: u64| -> Value {
        let values = outcome.settings.iter().zip(&outcome.trials[&trial]);
        values.map(|(name, value)| (name.clone(), json!(value))).collect()
    };
    let trials: Vec<Value> = outcome
        .ranked_trials()
        .into_iter()
        .map(|trial| {
            let rungs = outcome.rungs.iter();
            let dice: Vec<Value> = rungs
                .filter_map(|rung| {
                    let dice = outcome.dice_in_rung(rung, trial)?;
                    Some(json!({"epochs": rung.epochs, "dice": dice}))
                })
                .collect();
            json!({"trial": trial, "settings": settings(trial), "validation": dice})
        })
        .collect();
    let (best, dice) = outcome.best();
    json!({
        "name": outcome.name,
        "cohort": if outcome.phantom { "phantom" } else { "cases" },
        "network": outcome.network,
        "epochs_trained": outcome.epochs_trained(),
        "trials": trials,
        "best": {
            "trial": best,
            "settings": settings(best),
            "validation_dice": dice,
            "test_dice": outcome.test_dice(),
            "config": "best.toml",
        },
    })
}
