//! A study on a Slurm cluster: its steps as jobs, array by array, with Slurm's own dependencies. Which job
//! runs where and when is Slurm's to know, and is asked of it; what is done stands in the study's folder,
//! on a disk that all nodes see.
//!
//! [`settings`] is the section of the study's file, [`job_array`] groups steps into arrays, `job_script`
//! writes what a job runs, [`queue`] asks for the jobs that are there, [`submission`] brings them together.
//! Slurm is spoken to by its own commands alone (`command`).

mod command;
pub mod job_array;
mod job_script;
pub mod queue;
pub mod settings;
pub mod submission;

pub use job_script::StepCommand;
pub use queue::QueuedStep;
pub use settings::SlurmSection;
pub use submission::{SlurmStudy, Submission};
