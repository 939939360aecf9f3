//! Cross-validation as a graph: every network on each fold, scored on the cases that it has not seen;
//! the networks of a fold averaged; and the mean over folds on the test cases.

use crate::base::Fingerprint;
use crate::experiment::config_file::NetworkSection;
use crate::experiment::graph::builder::GraphBuilder;
use crate::experiment::graph::step::{MemberRef, StepWork};
use crate::experiment::graph::table_work::{FoldRowRef, FoldTableWork};
use crate::run::Failure;
use crate::volume::{Fold, Split};

/// Name of the networks' average.
const ENSEMBLE: &str = "ensemble";

/// Adds every step of a cross-validation. With `has_test_part` each method's mean over folds is scored
/// on the test cases too.
///
/// # Errors
/// If no run takes the settings of a step.
pub fn add_cross_validation(
    builder: &mut GraphBuilder<'_>,
    has_test_part: bool,
) -> Result<(), Failure> {
    let folds = builder.experiment.all_folds();
    let mut rows = Vec::new();
    let mut trained = Vec::new();
    for network in &builder.experiment.text.networks {
        let runs = add_fold_runs(builder, network, &folds)?;
        let members = |fold: &[Fingerprint]| {
            fold.iter().map(|train| MemberRef { train: *train, weight: 1.0 }).collect()
        };
        let of_seeds: Vec<Vec<Vec<MemberRef>>> =
            runs.iter().map(|runs| runs.chunks(1).map(members).collect()).collect();
        let train = runs.first().and_then(|runs| runs.first()).copied();
        rows.push(add_fold_row(
            builder,
            (network.name.as_str(), train),
            &folds,
            &of_seeds,
            has_test_part,
        ));
        trained.push((network, runs));
    }
    let members = builder.experiment.weighted_members();
    if members.len() > 1 {
        let seeds = builder.experiment.text.seeds as usize;
        let members_of = |seed: usize, fold: usize| -> Vec<MemberRef> {
            let of_member = |(network, weight): &(&NetworkSection, f64)| {
                let own = trained.iter().find(|(trained, _)| trained.name == network.name);
                own.map(|(_, runs)| MemberRef { train: runs[seed][fold], weight: *weight })
            };
            members.iter().filter_map(of_member).collect()
        };
        let of_seeds: Vec<Vec<Vec<MemberRef>>> = (0..seeds)
            .map(|seed| (0..folds.len()).map(|fold| members_of(seed, fold)).collect())
            .collect();
        rows.push(add_fold_row(builder, (ENSEMBLE, None), &folds, &of_seeds, has_test_part));
    }
    let work = FoldTableWork { folds: folds.len(), rows };
    let of = work.input_steps();
    builder.table("folds", StepWork::FoldTable(work), of);
    Ok(())
}

/// Trains a network on each fold; returns the steps by repetition, then by fold.
fn add_fold_runs(
    builder: &mut GraphBuilder<'_>,
    network: &NetworkSection,
    folds: &[Fold],
) -> Result<Vec<Vec<Fingerprint>>, Failure> {
    let mut of_seeds = Vec::new();
    for seed in 0..builder.experiment.text.seeds {
        let mut runs = Vec::new();
        for fold in folds {
            let subject = fold_subject(&network.name, seed, *fold);
            let place = builder.place(seed, Some(*fold));
            runs.push(builder.train_alone(network, &subject, place)?);
        }
        of_seeds.push(runs);
    }
    Ok(of_seeds)
}

/// Scores a method, whose members are given by repetition and fold, on each fold and on the test cases.
fn add_fold_row(
    builder: &mut GraphBuilder<'_>,
    (name, train): (&str, Option<Fingerprint>),
    folds: &[Fold],
    of_seeds: &[Vec<Vec<MemberRef>>],
    has_test_part: bool,
) -> FoldRowRef {
    let mut row =
        FoldRowRef { name: name.to_owned(), train, held_out: Vec::new(), test: Vec::new() };
    for (seed, of_folds) in (0..).zip(of_seeds) {
        let mut held_out = Vec::new();
        for (fold, members) in folds.iter().zip(of_folds) {
            let predictor = builder.fold_predictor(members.clone());
            let subject = fold_subject(name, seed, *fold);
            held_out.push(builder.score(&subject, name, predictor, Split::Validation));
        }
        row.held_out.push(held_out);
        if has_test_part {
            let predictor = builder.ensemble(of_folds.concat());
            let subject = format!("{name} seed {seed} folds");
            row.test.push(builder.score(&subject, name, predictor, Split::Test));
        }
    }
    row
}

fn fold_subject(name: &str, seed: u64, fold: Fold) -> String {
    format!("{name} seed {seed} fold {}", fold.index())
}
