//! A study as a graph: steps that name their inputs, known before anything runs.
//!
//! [`step`] says what a step is, [`study_graph`] keeps them in order, [`protocol`] and [`folds`] make
//! the graph of a study's file. Nothing here reads weights or scores; that is the runner's
//! ([`crate::experiment::runner`]).

pub mod builder;
pub mod dot;
pub mod folds;
pub mod listing;
pub mod protocol;
pub mod step;
pub mod study_graph;
pub mod table_work;

pub use step::{GraphStep, StepKind, StepWork};
pub use study_graph::StudyGraph;
