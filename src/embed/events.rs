//! Events of a training run, as its callbacks and its journal have them, and its summary.

pub use crate::run_folder::{
    BestValidation, CheckpointEvent, EpochEvent, Event, FinishedEvent, RunSummary, SkippedEvent,
    StartedEvent, StepRecord, ValidationEvent,
};
