//! Whether one method is better than another on the same cases, and how sure a mean is.
//!
//! The order of use: [`paired::differences`] averages each method's seeds per case and subtracts;
//! [`wilcoxon::signed_rank`] tests the differences; [`holm::adjust`] corrects a family of such tests;
//! [`bootstrap::ci95_of_mean`] says how far a mean could be off.

pub mod bootstrap;
pub mod holm;
pub mod paired;
pub mod wilcoxon;
