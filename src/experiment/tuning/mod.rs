//! Tuning: a random search over named settings, with successive halving.
//!
//! [`section`] is what a study's file says, [`space`] draws the settings of a trial, [`halving`] gives the rungs
//! and promotes. All are pure functions; the steps that train and score trials are the graph's.
//!
//! No crate is used for the search: `optimizer` 1.0.1 and `hyperopt-rs` 0.1.1 have successive halving as a pruner
//! that an objective asks from within one process, so that what is promoted depends on which trial came first, and
//! they bring random numbers and a store of their own. Steps of a study are known before anything runs, and the same in
//! any order. What is left of the method then is a sort and a division.

pub mod halving;
pub mod section;
pub mod space;
