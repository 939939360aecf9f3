//! Work of the kinds of steps. Each resumes what an earlier process has left of it, and returns what
//! later steps need to know; none knows the order of steps.

mod choose;
mod fold_table;
mod ingest;
mod label;
mod paper_table;
mod score;
mod train;
