//! Tables of a study: which steps' scores make which rows.

use serde::Serialize;

use crate::base::Fingerprint;
use crate::experiment::graph::step::{CandidateRef, NetworkRef};
use crate::experiment::outcome::Role;
use crate::experiment::paper::PaperRow;

/// The paper's table.
#[derive(Debug, Clone, Serialize)]
pub struct TableWork {
    /// Rows, in their order.
    pub rows: Vec<RowRef>,
    /// The student's network.
    pub student: NetworkRef,
    /// Networks with their scores on the validation cases.
    pub validation: Vec<CandidateRef>,
    /// Steps that annotated the unlabelled cases, one a repetition.
    pub labels: Vec<Fingerprint>,
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

impl TableWork {
    /// Steps whose outcomes the table takes.
    pub fn input_steps(&self) -> Vec<Fingerprint> {
        let mut steps: Vec<Fingerprint> = Vec::new();
        if let NetworkRef::Chosen(choose) = self.student {
            steps.push(choose);
        }
        for row in &self.rows {
            steps.extend(row.train);
            steps.extend(&row.scores);
        }
        steps.extend(self.validation.iter().flat_map(|network| &network.scores));
        steps.extend(&self.labels);
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
