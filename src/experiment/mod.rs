//! Floor 11: an experiment, many runs that answer one question together, such as the paper's.
//!
//! An experiment is a graph of steps ([`graph`]). Each is named by what decides its outcome, so a
//! finished one is found again, a changed one is another, and an interrupted one is resumed. The rooms
//! below do the work of a step; this one chooses the steps, their order, and the table.

pub mod case_shapes;
pub mod claims;
pub mod config;
mod config_checks;
pub mod config_file;
pub mod fold_outcome;
pub mod fold_table;
pub mod graph;
pub mod outcome;
pub mod paired_test;
pub mod paper;
pub mod plan;
pub mod runner;
pub mod slurm;
pub mod split_sizes;
pub mod step_cost;
pub mod step_outcome;
pub mod step_state;
pub mod student_section;
pub mod study_folder;
pub mod study_table;
pub mod table;
mod table_cells;
pub mod tuning;
pub mod tuning_table;
mod work;
