//! The paper's protocol as a graph: every network alone, their average, and what students learn from them.

use std::path::Path;

use crate::base::Fingerprint;
use crate::experiment::config::ExperimentConfig;
use crate::experiment::config_file::NetworkSection;
use crate::experiment::graph::builder::GraphBuilder;
use crate::experiment::graph::folds::add_cross_validation;
use crate::experiment::graph::listing::CaseListing;
use crate::experiment::graph::step::{CandidateRef, MemberRef, StepWork};
use crate::experiment::graph::students::{MembersBySeed, StudentRows, Teachers, add_students};
use crate::experiment::graph::study_graph::StudyGraph;
use crate::experiment::graph::table_work::{RowRef, TableWork};
use crate::experiment::graph::tuning::add_search;
use crate::experiment::outcome::Role;
use crate::experiment::paper::PaperRow;
use crate::experiment::student_section::ENSEMBLE;
use crate::run::Failure;
use crate::volume::Split;

/// Builds the graph of a study whose cases are `listing`: the paper's protocol, or a cross-validation.
///
/// # Errors
/// If no run takes the settings of a step.
pub fn build_graph(
    experiment: &ExperimentConfig,
    own_data: Option<&Path>,
    listing: &CaseListing,
) -> Result<StudyGraph, Failure> {
    let mut builder = GraphBuilder::new(experiment, own_data, listing);
    match experiment.text.folds {
        Some(_) => add_cross_validation(&mut builder, listing.has_test_part)?,
        None => ProtocolGraph { builder: &mut builder }.add_protocol()?,
    }
    add_search(&mut builder, listing.has_test_part)?;
    Ok(builder.into_graph())
}

/// Steps of one network alone, by repetition.
struct StandAloneSteps<'a> {
    network: &'a NetworkSection,
    trains: Vec<Fingerprint>,
    validation: Vec<Fingerprint>,
    test: Vec<Fingerprint>,
}

struct ProtocolGraph<'a, 'b> {
    builder: &'b mut GraphBuilder<'a>,
}

impl<'a> ProtocolGraph<'a, '_> {
    fn add_protocol(&mut self) -> Result<(), Failure> {
        let text = &self.builder.experiment.text;
        let mut alone = Vec::new();
        for network in &text.networks {
            alone.push(self.add_stand_alone(network)?);
        }
        let mut ensemble = Vec::new();
        let mut scores = Vec::new();
        for seed in 0..text.seeds {
            let members = self.members_of_seed(&alone, seed as usize);
            // One network alone has its row.
            if members.len() > 1 {
                let predictor = self.builder.ensemble(members.clone());
                let named = format!("ensemble seed {seed}");
                scores.push(self.builder.score(&named, ENSEMBLE, predictor, Split::Test));
            }
            ensemble.push(members);
        }
        let validation: Vec<CandidateRef> =
            alone.iter().map(StandAloneSteps::to_candidate).collect();
        let mut teachers: Teachers = alone.iter().map(StandAloneSteps::to_teacher).collect();
        teachers.insert(ENSEMBLE.to_owned(), ensemble);
        let mut rows: Vec<RowRef> = alone.into_iter().map(StandAloneSteps::into_row).collect();
        if !scores.is_empty() {
            let is_of_the_paper = text.networks.iter().any(|network| network.paper.is_some());
            rows.push(RowRef {
                name: ENSEMBLE.to_owned(),
                role: Role::Ensemble,
                paper: is_of_the_paper.then_some(PaperRow::Ensemble),
                train: None,
                scores,
                rivals: Vec::new(),
            });
        }
        add_table_with_students(self.builder, "table", rows, teachers, validation)
    }

    /// Trains a network on the labelled cases, once a repetition, and scores it.
    fn add_stand_alone(
        &mut self,
        network: &'a NetworkSection,
    ) -> Result<StandAloneSteps<'a>, Failure> {
        let builder = &mut *self.builder;
        let name = &network.name;
        let mut steps = StandAloneSteps {
            network,
            trains: Vec::new(),
            validation: Vec::new(),
            test: Vec::new(),
        };
        for seed in 0..builder.experiment.text.seeds {
            let named = format!("{name} seed {seed}");
            let train = builder.train_alone(network, &named, builder.place(seed, None))?;
            let alone = builder.single_run(train);
            steps.trains.push(train);
            let score = builder.score(&named, name, alone.clone(), Split::Validation);
            steps.validation.push(score);
            steps.test.push(builder.score(&named, name, alone, Split::Test));
        }
        Ok(steps)
    }

    fn members_of_seed(&self, alone: &[StandAloneSteps<'_>], seed: usize) -> Vec<MemberRef> {
        let experiment = self.builder.experiment;
        let mut members = Vec::new();
        for (network, weight) in experiment.weighted_members() {
            let of_network = alone.iter().find(|one| one.network.name == network.name);
            members.extend(of_network.map(|one| MemberRef { train: one.trains[seed], weight }));
        }
        members
    }
}

/// Adds the students of a study, and a table with their rows behind `rows`.
///
/// # Errors
/// If no run takes the settings of a step.
pub(super) fn add_table_with_students(
    builder: &mut GraphBuilder<'_>,
    stem: &str,
    mut rows: Vec<RowRef>,
    teachers: Teachers,
    validation: Vec<CandidateRef>,
) -> Result<(), Failure> {
    let rivals: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    let taught = add_students(builder, teachers, &validation, &rivals)?;
    let StudentRows { rows: of_students, students, labels, curve } = taught;
    rows.extend(of_students);
    let work = TableWork { stem: stem.to_owned(), rows, students, validation, labels, curve };
    let of = work.input_steps();
    builder.table(stem, StepWork::Table(work), of);
    Ok(())
}

impl StandAloneSteps<'_> {
    fn to_candidate(&self) -> CandidateRef {
        CandidateRef { network: self.network.name.clone(), scores: self.validation.clone() }
    }

    fn to_teacher(&self) -> (String, MembersBySeed) {
        let member = |train: &Fingerprint| vec![MemberRef { train: *train, weight: 1.0 }];
        (self.network.name.clone(), self.trains.iter().map(member).collect())
    }

    fn into_row(self) -> RowRef {
        RowRef {
            name: self.network.name.clone(),
            role: Role::StandAlone,
            paper: self.network.paper,
            train: self.trains.first().copied(),
            scores: self.test,
            rivals: Vec::new(),
        }
    }
}
