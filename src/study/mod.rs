//! Floor 8: a study, many runs that answer one question together: the paper's experiment, from three
//! networks to a table with tests.
//!
//! A study is made of steps. Each is named by what decides its outcome, so one that is done is found
//! again, one that has changed is another, and one that was cut off is gone on with. What a step does
//! is the rooms' below; here is only which, in what order, and what the table says.

pub mod claims;
pub mod cohort;
pub mod conduct;
pub mod ledger;
pub mod outcome;
pub mod paper;
pub mod plan;
pub mod recipe;
pub mod steps;
pub mod table;
pub mod text;
