//! Floor 11: an experiment, many runs that answer one question together, such as the paper's.
//!
//! An experiment is made of steps. Each is named by what decides its outcome, so a finished one is
//! found again, a changed one is another, and an interrupted one is resumed. The rooms below do the
//! work of a step; this one chooses the steps, their order, and the table.

pub mod claims;
pub mod cohort;
pub mod config;
pub mod config_file;
pub mod ledger;
pub mod outcome;
pub mod paper;
pub mod plan;
pub mod protocol;
pub mod split_sizes;
pub mod steps;
pub mod table;
pub mod tuning;
