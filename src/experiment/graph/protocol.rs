//! The paper's protocol as a graph: every network alone, their average, what it annotates, the student
//! that learns from that, and the control.

use std::path::Path;

use crate::base::Fingerprint;
use crate::experiment::config::ExperimentConfig;
use crate::experiment::config_file::{BEST, NetworkSection};
use crate::experiment::graph::builder::{GraphBuilder, TrainRequest};
use crate::experiment::graph::folds::add_cross_validation;
use crate::experiment::graph::listing::CaseListing;
use crate::experiment::graph::step::{
    CandidateRef, EpochLength, MemberRef, NetworkRef, StepWork, TeachingRef, TrainWork,
};
use crate::experiment::graph::study_graph::StudyGraph;
use crate::experiment::graph::table_work::{CurvePointRef, RowRef, TableWork};
use crate::experiment::outcome::Role;
use crate::experiment::paper::PaperRow;
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
    Ok(builder.into_graph())
}

/// Steps of one network alone, by repetition.
struct StandAloneSteps<'a> {
    network: &'a NetworkSection,
    trains: Vec<Fingerprint>,
    validation: Vec<Fingerprint>,
    test: Vec<Fingerprint>,
}

/// Steps of the student, the control and the curve, by repetition.
#[derive(Default)]
struct StudentSteps {
    distilled: RoleSteps,
    control: RoleSteps,
    fractions: Vec<RoleSteps>,
}

/// Trained and scored steps of one role, by repetition.
#[derive(Default)]
struct RoleSteps {
    trains: Vec<Fingerprint>,
    scores: Vec<Fingerprint>,
}

impl RoleSteps {
    fn into_row(self, name: &str, role: Role, paper: Option<PaperRow>) -> RowRef {
        let train = self.trains.first().copied();
        RowRef { name: name.into(), role, paper, train, scores: self.scores }
    }
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
        let validation: Vec<CandidateRef> =
            alone.iter().map(StandAloneSteps::to_candidate).collect();
        let student = match text.student.network.as_str() {
            BEST => NetworkRef::Chosen(self.builder.choose("best network", validation.clone())),
            name => NetworkRef::Named(name.to_owned()),
        };
        let mut ensemble = RoleSteps::default();
        let mut labels = Vec::new();
        let mut students = StudentSteps::default();
        students.fractions.resize_with(text.labelled_fractions.len(), RoleSteps::default);
        for seed in 0..text.seeds {
            let members = self.members_of_seed(&alone, seed as usize);
            let predictor = self.builder.ensemble(members);
            let named = format!("ensemble seed {seed}");
            let score = self.builder.score(&named, "ensemble", predictor.clone(), Split::Test);
            ensemble.scores.push(score);
            let label = self.builder.label(&named, "ensemble", predictor, text.student.targets);
            labels.push(label);
            self.add_students(&student, seed, label, &mut students)?;
        }
        self.add_table(alone, ensemble, students, (student, validation, labels));
        Ok(())
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

    /// Trains and scores student, control and the curve's points of one repetition. All take the
    /// steps, and the learning rate at each step, that labelled and pseudo-labelled cases together
    /// give.
    fn add_students(
        &mut self,
        network: &NetworkRef,
        seed: u64,
        label: Fingerprint,
        students: &mut StudentSteps,
    ) -> Result<(), Failure> {
        let experiment = self.builder.experiment;
        let student = &experiment.text.student;
        let teaching = TeachingRef { label, targets: student.targets, share: student.share };
        self.add_student(
            "distilled",
            network,
            seed,
            (None, Some(teaching)),
            &mut students.distilled,
        )?;
        self.add_student("control", network, seed, (None, None), &mut students.control)?;
        let shares = &experiment.text.labelled_fractions;
        for (point, share) in students.fractions.iter_mut().zip(shares) {
            let role = format!("fraction {share}");
            self.add_student(&role, network, seed, (Some(*share), None), point)?;
        }
        Ok(())
    }

    fn add_student(
        &mut self,
        role: &str,
        network: &NetworkRef,
        seed: u64,
        (labelled_fraction, teaching): (Option<f64>, Option<TeachingRef>),
        steps: &mut RoleSteps,
    ) -> Result<(), Failure> {
        let builder = &mut *self.builder;
        let work = builder.train_work(TrainRequest {
            network: network.clone(),
            settings: &builder.experiment.text.student.settings,
            place: builder.place(seed, None),
            labelled_fraction,
            length: EpochLength::OfAllCases,
        })?;
        let named = format!("{role} seed {seed}");
        let work = TrainWork { teaching, ..work };
        let train = builder.train(&named, role, work);
        steps.trains.push(train);
        let alone = builder.single_run(train);
        steps.scores.push(builder.score(&named, role, alone, Split::Test));
        Ok(())
    }

    fn add_table(
        &mut self,
        alone: Vec<StandAloneSteps<'_>>,
        ensemble: RoleSteps,
        students: StudentSteps,
        (student, validation, labels): (NetworkRef, Vec<CandidateRef>, Vec<Fingerprint>),
    ) {
        let shares = &self.builder.experiment.text.labelled_fractions;
        let points = shares.iter().zip(&students.fractions);
        let mut curve: Vec<CurvePointRef> = points
            .map(|(share, steps)| CurvePointRef { fraction: *share, scores: steps.scores.clone() })
            .collect();
        if !curve.is_empty() {
            curve.push(CurvePointRef { fraction: 1.0, scores: students.control.scores.clone() });
        }
        curve.sort_by(|a, b| a.fraction.total_cmp(&b.fraction));
        let mut rows: Vec<RowRef> = alone.into_iter().map(StandAloneSteps::into_row).collect();
        rows.push(ensemble.into_row("ensemble", Role::Ensemble, Some(PaperRow::Ensemble)));
        let paper = Some(PaperRow::Distilled);
        rows.push(students.distilled.into_row("distilled", Role::Distilled, paper));
        rows.push(students.control.into_row("control", Role::Control, None));
        let work = TableWork { rows, student, validation, labels, curve };
        let of = work.input_steps();
        self.builder.table("paper", StepWork::Table(work), of);
    }
}

impl StandAloneSteps<'_> {
    fn to_candidate(&self) -> CandidateRef {
        CandidateRef { network: self.network.name.clone(), scores: self.validation.clone() }
    }

    fn into_row(self) -> RowRef {
        let steps = RoleSteps { trains: self.trains, scores: self.test };
        steps.into_row(&self.network.name, Role::StandAlone, self.network.paper)
    }
}
