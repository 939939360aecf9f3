//! Steps of a study's graph, each added with the inputs that its work names.

use std::path::Path;

use toml::Table;

use crate::base::Fingerprint;
use crate::experiment::config::{ExperimentConfig, Repetition};
use crate::experiment::config_file::NetworkSection;
use crate::experiment::graph::listing::CaseListing;
use crate::experiment::graph::step::{
    CandidateRef, ChooseWork, EnsembleRef, EpochLength, GraphStep, IngestWork, LabelWork,
    MemberRef, NetworkRef, ScoreWork, StepWork, TrainWork,
};
use crate::experiment::graph::study_graph::StudyGraph;
use crate::run::Failure;
use crate::volume::{Fold, Split, Targets};

/// Builder of the graph of one study.
pub struct GraphBuilder<'a> {
    /// The study.
    pub experiment: &'a ExperimentConfig,
    own_data: Option<&'a Path>,
    ingest: Fingerprint,
    graph: StudyGraph,
}

/// Settings of a training step, beside its place.
pub struct TrainRequest<'a> {
    /// The network.
    pub network: NetworkRef,
    /// Settings over those of the network.
    pub settings: &'a Table,
    /// Repetition and fold.
    pub place: Repetition<'a>,
    /// Share of the labelled training cases, where it is not all of them.
    pub labelled_fraction: Option<f64>,
    /// Length of an epoch.
    pub length: EpochLength,
}

impl<'a> GraphBuilder<'a> {
    /// Begins with the ingest of `listing`. `own_data` is the study's folder where it draws its cases.
    pub fn new(
        experiment: &'a ExperimentConfig,
        own_data: Option<&'a Path>,
        listing: &CaseListing,
    ) -> Self {
        let mut graph = StudyGraph::default();
        let work = StepWork::Ingest(IngestWork { cases: listing.fingerprint });
        let ingest = graph.add_step(GraphStep::new("cases", "cases", work, Vec::new()));
        Self { experiment, own_data, ingest, graph }
    }

    /// The finished graph.
    pub fn into_graph(self) -> StudyGraph {
        self.graph
    }

    /// Place of the run of a repetition, and of a fold of it.
    pub const fn place(&self, seed: u64, fold: Option<Fold>) -> Repetition<'a> {
        Repetition { seed, own_data: self.own_data, fold }
    }

    /// Adds the training of a network on labelled cases.
    ///
    /// # Errors
    /// If no run takes its settings.
    pub fn train_alone(
        &mut self,
        network: &NetworkSection,
        subject: &str,
        place: Repetition<'a>,
    ) -> Result<Fingerprint, Failure> {
        let settings = Table::new();
        let work = self.train_work(TrainRequest {
            network: NetworkRef::Named(network.name.clone()),
            settings: &settings,
            place,
            labelled_fraction: None,
            length: EpochLength::OfRun,
        })?;
        Ok(self.train(subject, &network.name, work))
    }

    /// Work of a training step, without a teacher.
    ///
    /// # Errors
    /// If no run takes its settings.
    pub fn train_work(&self, request: TrainRequest<'_>) -> Result<TrainWork, Failure> {
        let TrainRequest { network, settings, place, labelled_fraction, length } = request;
        let mut decided = Vec::new();
        for candidate in self.possible_networks(&network) {
            let config = self.experiment.run_config(candidate, settings, place, &[])?;
            decided.push(config.fingerprint());
        }
        let deciding = match decided.as_slice() {
            [only] => *only,
            several => Fingerprint::of_config(&several),
        };
        Ok(TrainWork {
            network,
            repetition: place.seed,
            fold: place.fold,
            deciding,
            settings: settings.clone(),
            labelled_fraction,
            length,
            teaching: None,
        })
    }

    /// Networks that a step may train: the named one, or those that are chosen from.
    fn possible_networks(&self, network: &NetworkRef) -> Vec<&'a NetworkSection> {
        let experiment = self.experiment;
        match network {
            NetworkRef::Named(name) => experiment.find_network(name).into_iter().collect(),
            NetworkRef::Chosen(choose) => {
                match self.graph.find_step(*choose).map(|one| &one.work) {
                    Some(StepWork::Choose(work)) => {
                        let candidates = work.candidates.iter();
                        candidates.filter_map(|one| experiment.find_network(&one.network)).collect()
                    }
                    _ => Vec::new(),
                }
            }
        }
    }

    /// Adds a training step.
    pub fn train(&mut self, subject: &str, series: &str, work: TrainWork) -> Fingerprint {
        let mut inputs = vec![self.ingest];
        if let NetworkRef::Chosen(choose) = work.network {
            inputs.push(choose);
        }
        inputs.extend(work.teaching.as_ref().map(|teaching| teaching.label));
        self.graph.add_step(GraphStep::new(subject, series, StepWork::Train(work), inputs))
    }

    /// The network of one training step alone.
    pub fn single_run(&self, train: Fingerprint) -> EnsembleRef {
        let checkpoint = self.experiment.text.checkpoint;
        let members = vec![MemberRef { train, weight: 1.0 }];
        EnsembleRef { members, checkpoint, mirrored: false }
    }

    /// The study's ensemble of these members.
    pub fn ensemble(&self, members: Vec<MemberRef>) -> EnsembleRef {
        let checkpoint = self.experiment.text.checkpoint;
        EnsembleRef { members, checkpoint, mirrored: self.experiment.text.ensemble.mirrored }
    }

    /// Members of a cross-validation: a single one predicts as it is, several as the study's ensemble.
    pub fn fold_predictor(&self, members: Vec<MemberRef>) -> EnsembleRef {
        let mirrored = members.len() > 1 && self.experiment.text.ensemble.mirrored;
        EnsembleRef { mirrored, ..self.ensemble(members) }
    }

    /// Adds the scoring of one part.
    pub fn score(
        &mut self,
        subject: &str,
        series: &str,
        predictor: EnsembleRef,
        part: Split,
    ) -> Fingerprint {
        let inputs = member_steps(&predictor);
        let subject = format!("{subject} {}", part.name());
        let work = StepWork::Score(ScoreWork { predictor, part });
        self.graph.add_step(GraphStep::new(subject, series, work, inputs))
    }

    /// Adds the annotation of the unlabelled cases.
    pub fn label(
        &mut self,
        subject: &str,
        series: &str,
        teacher: EnsembleRef,
        targets: Targets,
    ) -> Fingerprint {
        let inputs = member_steps(&teacher);
        let work = StepWork::Label(LabelWork { teacher, targets });
        self.graph.add_step(GraphStep::new(subject, series, work, inputs))
    }

    /// Adds the choice of a network.
    pub fn choose(&mut self, subject: &str, candidates: Vec<CandidateRef>) -> Fingerprint {
        let inputs = candidates.iter().flat_map(|one| one.scores.iter().copied()).collect();
        let work = StepWork::Choose(ChooseWork { candidates });
        self.graph.add_step(GraphStep::new(subject, subject, work, inputs))
    }

    /// Adds a table of these steps' outcomes.
    pub fn table(&mut self, subject: &str, work: StepWork, of: Vec<Fingerprint>) -> Fingerprint {
        let mut inputs = vec![self.ingest];
        for step in of {
            if !inputs.contains(&step) {
                inputs.push(step);
            }
        }
        self.graph.add_step(GraphStep::new(subject, subject, work, inputs))
    }
}

fn member_steps(ensemble: &EnsembleRef) -> Vec<Fingerprint> {
    ensemble.members.iter().map(|member| member.train).collect()
}
