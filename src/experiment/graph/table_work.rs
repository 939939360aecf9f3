//! Tables of a study: which steps' scores make which rows.

use serde::Serialize;

use crate::base::Fingerprint;
use crate::experiment::graph::step::{CandidateRef, NetworkRef, TrialScoreRef};
use crate::experiment::outcome::Role;
use crate::experiment::paper::PaperRow;
use crate::volume::Fold;

/// Table of single networks, their average, students and controls: the paper's, or a wider one.
#[derive(Debug, Clone, Serialize)]
pub struct TableWork {
    /// Beginning of the names of its files.
    pub stem: String,
    /// Rows, in their order.
    pub rows: Vec<RowRef>,
    /// Networks of the students, in the order of the file.
    pub students: Vec<StudentRef>,
    /// Networks with their scores on the validation cases.
    pub validation: Vec<CandidateRef>,
    /// Annotations that students learn from.
    pub labels: Vec<LabelRef>,
    /// Scores by share of the labelled cases, the whole of them among them.
    pub curve: Vec<CurvePointRef>,
}

/// Row of a table.
#[derive(Debug, Clone, Serialize)]
pub struct RowRef {
    /// Name of the method.
    pub name: String,
    /// Role of the method.
    pub role: Role,
    /// The row of the paper's table that it is held against.
    pub paper: Option<PaperRow>,
    /// The step that trained its first run; absent for what is not trained.
    pub train: Option<Fingerprint>,
    /// Steps that scored it, by repetition.
    pub scores: Vec<Fingerprint>,
    /// Rows that it is claimed to be better than; none of what nothing is claimed of.
    pub rivals: Vec<String>,
}

/// Networks of a student.
#[derive(Debug, Clone, Serialize)]
pub struct StudentRef {
    /// Name of the student.
    pub name: String,
    /// Networks of the student.
    pub networks: Vec<NetworkRef>,
}

/// Annotations of the unlabelled cases by one teacher.
#[derive(Debug, Clone, Serialize)]
pub struct LabelRef {
    /// Name of the teacher and kind of the annotations.
    pub name: String,
    /// Steps that annotated, one a repetition.
    pub steps: Vec<Fingerprint>,
}

/// Point of the curve of Dice by the amount of labelled data.
#[derive(Debug, Clone, Serialize)]
pub struct CurvePointRef {
    /// Share of the labelled training cases.
    pub fraction: f64,
    /// Steps that scored it, by repetition.
    pub scores: Vec<Fingerprint>,
}

/// The table of a cross-validation.
#[derive(Debug, Clone, Serialize)]
pub struct FoldTableWork {
    /// Number of folds.
    pub folds: usize,
    /// Methods, each scored on every fold that it has not seen, and together on the test cases.
    pub rows: Vec<FoldRowRef>,
}

/// Method of a cross-validation.
#[derive(Debug, Clone, Serialize)]
pub struct FoldRowRef {
    /// Name of the method.
    pub name: String,
    /// The step that trained its first run; absent for what is not trained.
    pub train: Option<Fingerprint>,
    /// Steps that scored it on held-out folds, by repetition, then by fold.
    pub held_out: Vec<Vec<Fingerprint>>,
    /// Steps that scored the mean of its folds on the test cases, by repetition; none without such cases.
    pub test: Vec<Fingerprint>,
}

/// The table of a search.
#[derive(Debug, Clone, Serialize)]
pub struct TuningTableWork {
    /// Fold that was held out, of a cross-validation.
    pub fold: Option<Fold>,
    /// Rungs, the shortest first.
    pub rungs: Vec<RungRef>,
    /// Step that trained the winner.
    pub best: Fingerprint,
    /// Step that scored the winner on the test cases; none without such cases.
    pub test: Option<Fingerprint>,
}

/// Rung of a search.
#[derive(Debug, Clone, Serialize)]
pub struct RungRef {
    /// Epochs after which its trials are compared.
    pub epochs: u64,
    /// Trials.
    pub trials: Vec<TrialScoreRef>,
    /// Step that ranked them.
    pub ranking: Fingerprint,
}

impl TuningTableWork {
    /// Steps whose outcomes the table takes.
    pub fn input_steps(&self) -> Vec<Fingerprint> {
        let rankings = self.rungs.iter().map(|rung| rung.ranking);
        rankings.chain([self.best]).chain(self.test).collect()
    }
}

impl TableWork {
    /// Steps whose outcomes the table takes.
    pub fn input_steps(&self) -> Vec<Fingerprint> {
        let mut steps: Vec<Fingerprint> = Vec::new();
        let networks = self.students.iter().flat_map(|student| &student.networks);
        steps.extend(networks.filter_map(|network| match network {
            NetworkRef::Chosen(choose) => Some(*choose),
            NetworkRef::Named(_) => None,
        }));
        for row in &self.rows {
            steps.extend(row.train);
            steps.extend(&row.scores);
        }
        steps.extend(self.validation.iter().flat_map(|network| &network.scores));
        steps.extend(self.labels.iter().flat_map(|teacher| &teacher.steps));
        steps.extend(self.curve.iter().flat_map(|point| &point.scores));
        steps
    }
}

impl FoldTableWork {
    /// Steps whose outcomes the table takes.
    pub fn input_steps(&self) -> Vec<Fingerprint> {
        let mut steps: Vec<Fingerprint> = Vec::new();
        for row in &self.rows {
            steps.extend(row.train);
            steps.extend(row.held_out.iter().flatten());
            steps.extend(&row.test);
        }
        steps
    }
}
